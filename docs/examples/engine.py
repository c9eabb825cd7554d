"""An engine of your own: `auparity extract --engine toy` runs the inputs in a shuffled order, in one other thread.

`pyproject.toml` of the package that this module is in:

    [project.entry-points."auparity.engines"]
    toy = "my_package.engine"
"""

import random
from concurrent.futures import ThreadPoolExecutor

from auparity.extraction.engines.choose import engine
from auparity.extraction.jobs import run_job


class ToyEngine:
    name = "toy"

    def __init__(self, pipeline):
        self.pipeline = pipeline

    def run(self, jobs, settings, reporter, stop):
        order = random.sample(range(len(jobs)), len(jobs))
        outcomes = {}
        with ThreadPoolExecutor(1) as pool:
            for number, index in enumerate(order, 1):
                if stop():
                    break
                progress = reporter.job_started(number, len(jobs), jobs[index])
                done = pool.submit(run_job, self.pipeline, jobs[index], settings, progress, stop)
                outcomes[index] = done.result()  # an error in a job is its outcome, too
                reporter.job_done(outcomes[index])
        return [outcomes[index] for index in sorted(outcomes)]


@engine("toy", "one input after the other, in a shuffled order", provider="my-package")
def build(pipeline, at_a_time):
    return ToyEngine(pipeline)
