"""What a command of minutes is doing: one bar in a terminal or notebook, else a line a minute."""

from robust.tracking.progress.bars import progress_bar as progress_bar
from robust.tracking.progress.bars import shown as shown
from robust.tracking.progress.beats import beating as beating
from robust.tracking.progress.displays import Display as Display
from robust.tracking.progress.parts import Parts as Parts
from robust.tracking.progress.steps import Steps as Steps
