-- shared/state/wa.lua runs inside Redis: these are its globals. `facts` is put before it by shared/scripts.py.
std = "lua51"
read_globals = { "redis", "cjson", "KEYS", "ARGV", "facts" }
max_line_length = 140
