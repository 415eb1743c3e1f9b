"""Training: the loop, written once, for the seeds of a combination as one pack."""

from lvmbench.training.device import pick_device as pick_device
from lvmbench.training.learner import restore as restore
from lvmbench.training.learner import state as state
from lvmbench.training.loop import train as train
from lvmbench.training.result import Epoch as Epoch
from lvmbench.training.result import SeedResult as SeedResult
