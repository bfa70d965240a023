"""Networks that were trained elsewhere: read, wrapped and checked before they are attacked."""
