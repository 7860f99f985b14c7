-- wrk's script: METHOD PATH BYTES FILE. One request per token of the file, in turn; the last line printed is JSON.
local requests, at = {}, 0

function init(args)
  local method, path, size, file = args[1], args[2], tonumber(args[3]), args[4]
  local body = size > 0 and string.rep("x", size) or nil
  for token in io.lines(file) do
    local fields = {["Host"] = "api.example.com", ["Accept"] = "*/*", ["Authorization"] = "Bearer " .. token}
    requests[#requests + 1] = wrk.format(method, path, fields, body)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  print(string.format('{"requests": %d, "microseconds": %d, "errors": %d}', summary.requests, summary.duration, errors))
end
