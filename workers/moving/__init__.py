"""Devices that another client linked: read, checked, taken over without a scan, and handed back."""
