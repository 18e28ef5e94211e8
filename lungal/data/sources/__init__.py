"""Where films come from: the phantom generator and NIH folders."""
