"""The commands and their options, a file a group; what they do is in a file each, imported when it is called."""
