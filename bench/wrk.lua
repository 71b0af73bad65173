-- SPDX-License-Identifier: GPL-2.0-only
--
-- What wrk does in the bench. Takes from its environment:
--   BENCH_SERVERS  "ADDRESS ADDRESS ...": its threads take turns
--   BENCH_PORT     of them
--   BENCH_PAUSE    milliseconds between an answer and the next request of a connection, in the mean
-- Prints its results as one JSON object.

local servers, taken = {}, 0
for address in os.getenv("BENCH_SERVERS"):gmatch("%S+") do
	servers[#servers + 1] = address
end

local pause = tonumber(os.getenv("BENCH_PAUSE"))
if pause then
	-- Spread, so that connections do not fall into step.
	function delay()
		return math.random(0, 2 * pause)
	end
end

function setup(thread)
	local server = servers[taken % #servers + 1]

	taken = taken + 1
	thread.addr = wrk.lookup(server, os.getenv("BENCH_PORT"))[1]
end

function done(summary, latency, requests)
	local errors = summary.errors

	io.write(string.format(
		'\n{"requests": %d, "seconds": %f, "p50_us": %d, "p99_us": %d, "errors": %d}\n',
		summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
		errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
