"""HTTP/1.1 on h11 and asyncio streams: light enough for a daemon that runs on every node."""
