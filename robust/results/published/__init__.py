"""Numbers that papers print, beside ours."""
