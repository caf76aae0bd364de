
local chunks = string.rep("1\r\nx\r\n", 65536 / 6) .. "0\r\n\r\n"
local whole

init = function(args)
  whole = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.headers["Host"]
    .. "\r\nTransfer-Encoding: chunked\r\n\r\n" .. chunks
end

request = function() return whole end
