-- Sends 64 KiB in every request.
wrk.method = "POST"
wrk.body = string.rep("tidegate", 8192)
wrk.headers["Content-Type"] = "application/octet-stream"
