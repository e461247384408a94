"""Where words come from: files on this machine, each read once; nothing is downloaded."""
