-- Given to wrk: the request's method and body, pipelining, and a report that a program can read.
-- A request without a function of its own is built once, so wrk spends no Lua on it.
wrk.method = os.getenv('BENCH_METHOD') or 'GET'
wrk.body = os.getenv('BENCH_BODY')

local depth = tonumber(os.getenv('BENCH_PIPELINE') or '1')
if depth > 1 then
  local batch
  init = function()
    batch = string.rep(wrk.format(), depth)
  end
  request = function()
    return batch
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nREPORT {"requests":%d,"duration":%d,"bytes":%.0f,"p50":%d,"p99":%d,"p999":%d,' ..
      '"errors":{"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}}\n',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status
  ))
end
