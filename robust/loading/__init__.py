"""From files to objects: what files say, which classes they may name, runs read back."""
