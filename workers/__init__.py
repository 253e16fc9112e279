"""The worker process: takes jobs, owns leases, supervises engine processes. Imports no neonize."""
