-- Kong, for the access phase of the plugin pre-function: it asks the sidecar about every request, and Kong forwards it
-- with the token that is answered, or not at all. For a sidecar with
--   decision: {listen: 127.0.0.1:8082, form: forwarded}
-- Not tried against Kong by this project. It needs  untrusted_lua_sandbox_requires = resty.http  in kong.conf.

local http = require("resty.http")

-- Where a credential may stand: taken from the answer, and removed where it has none. Name each route's token_header and
-- subject.header here.
local CREDENTIALS = {
  "Authorization",
  "Proxy-Authorization",
  "X-Auth-Request-Access-Token",
  "X-Forwarded-Access-Token",
  "X-Upstream-Token",
}

-- All fields are shown, but for those of this connection and of a body, and those that name the request.
local OURS = "^x%-forwarded%-[mphu]"
local NOT_SHOWN = { connection = true, ["content-length"] = true, expect = true, host = true, ["transfer-encoding"] = true }
local question = {}
for name, value in pairs(ngx.req.get_headers(0, true)) do
  local lower = name:lower()
  if not NOT_SHOWN[lower] and not lower:find(OURS) then
    question[name] = value
  end
end
question["X-Forwarded-Method"] = ngx.req.get_method()
question["X-Forwarded-Proto"] = ngx.var.scheme
question["X-Forwarded-Host"] = ngx.var.http_host
question["X-Forwarded-Uri"] = ngx.var.request_uri

local client = http.new()
client:set_timeout(10000)
local answer = client:request_uri("http://127.0.0.1:8082/", { method = "GET", headers = question })
if not answer then
  return kong.response.exit(503, { title = "The sidecar does not answer" })
end
if answer.status ~= 200 then
  return kong.response.exit(answer.status, answer.body, {
    ["Content-Type"] = answer.headers["Content-Type"],
    ["WWW-Authenticate"] = answer.headers["WWW-Authenticate"],
    ["Retry-After"] = answer.headers["Retry-After"],
    ["Cache-Control"] = "no-store",
  })
end
-- Not shown to the sidecar, and so not to be the caller's.
kong.service.request.clear_header("X-Forwarded-Method")
kong.service.request.clear_header("X-Forwarded-Uri")
for _, name in ipairs(CREDENTIALS) do
  local given = answer.headers[name]
  if given then
    kong.service.request.set_header(name, given)
  else
    kong.service.request.clear_header(name)
  end
end
