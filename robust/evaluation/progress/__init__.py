"""An evaluation counts what it has attacked, and says how long the rest takes."""

from robust.evaluation.progress.attacking import Attacking as Attacking
from robust.evaluation.progress.stages import gathered as gathered
from robust.evaluation.progress.stages import searched as searched
