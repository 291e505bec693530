"""One module per command. `chatmem.cli.app` holds their signatures and imports each module when it is called."""
