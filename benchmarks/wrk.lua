-- Post the given files in turn; print one line of figures that wrk.py reads.
-- Arguments: the content type, then the files, each the whole body of a request.

local bodies, at, threads = {}, 0, {}
statuses = ""       -- read by done() from another Lua state: only globals can be
local counts = {}

function setup(thread)
   table.insert(threads, thread)
end

function init(args)
   local headers = { ["Content-Type"] = args[1] }
   for i = 2, #args do
      local file = assert(io.open(args[i], "rb"))
      -- Formatted once: request() then only hands out a string.
      bodies[i - 1] = wrk.format("POST", nil, headers, file:read("*a"))
      file:close()
   end
end

function request()
   at = at % #bodies + 1
   return bodies[at]
end

function response(status)
   counts[status] = (counts[status] or 0) + 1
   local parts = {}
   for code, count in pairs(counts) do
      table.insert(parts, string.format('"%d": %d', code, count))
   end
   statuses = table.concat(parts, ", ")
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      'FIGURES {"requests": %d, "duration_s": %.6f, "statuses": {%s}, '
      .. '"errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d}, '
      .. '"p50_ms": %.3f, "p90_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f}\n',
      summary.requests, summary.duration / 1e6, threads[1]:get("statuses"),
      errors.connect, errors.read, errors.write, errors.timeout,
      latency:percentile(50) / 1e3, latency:percentile(90) / 1e3,
      latency:percentile(99) / 1e3, latency.max / 1e3))
end
