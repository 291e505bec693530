"""chatmem beside redis-py alone and the peers: same server, same conversations, same rounds. See README.md."""
