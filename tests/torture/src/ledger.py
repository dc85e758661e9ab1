"""What the commits table tells: which records each module has read in which micro-batch, what was undone since, and what was asked for."""

import bisect
import json


class Ledger:
    """`commits` in the order of the log; each is a row with its `version`."""

    def __init__(self, commits):
        self.commits = commits
        # By module and partition: (start, end, digest), one behind the other.
        self.chains = {}
        # By partition: (first request, end, version).
        self.requests = {}
        self.wrong = []
        # By module: (version, {partition: offset}) of every rewind.
        self.rewinds = {}
        for commit in commits:
            self.take(commit)

    def take(self, commit):
        is_rewind = commit["kind"] == "rewound"
        for partition, (start, end) in commit["offsets"].items():
            if partition.startswith("redrive:"):
                self.request(partition.removeprefix("redrive:"), start, end, commit["version"])
        for module, digest in commit["modules"].items():
            ranges = ranges_of(commit, module)
            for partition, (start, end) in ranges.items():
                chain = self.chains.setdefault((module, partition), [])
                at = chain[-1][1] if chain else 0
                if start != at:
                    self.wrong.append(f"{partition} of {module} goes on at {start} in the commits table, not at {at}")
                if is_rewind:
                    chain[:] = [(a, min(b, end), by) for a, b, by in chain if a < end]
                elif end > start:
                    chain.append((start, end, digest))
            if is_rewind:
                self.rewinds.setdefault(module, []).append((commit["version"], {of: end for of, (_, end) in ranges.items()}))

    def request(self, partition, start, end, version):
        answered = self.requests.setdefault(partition, [])
        at = answered[-1][1] if answered else 0
        if start != at:
            self.wrong.append(f"requests about {partition} go on at {start} in the commits table, not at {at}")
        if end > start:
            answered.append((start, end, version))

    def end(self, module, partition):
        chain = self.chains.get((module, partition))
        return chain[-1][1] if chain else 0

    def made_by(self, module, partition, offset):
        """The digest of the module that a record went through last."""
        chain = self.chains.get((module, partition), [])
        at = bisect.bisect_right(chain, offset, key=lambda piece: piece[0])
        return chain[at - 1][2] if at and offset < chain[at - 1][1] else None

    def answered_in(self, partition, request):
        """The version of the commits table that settles a request."""
        answered = self.requests.get(partition, [])
        at = bisect.bisect_right(answered, request, key=lambda piece: piece[0])
        return answered[at - 1][2] if at and request < answered[at - 1][1] else None

    def newest(self, module):
        """The digest of the newest commit of a module."""
        return next((commit["modules"][module] for commit in reversed(self.commits) if module in commit["modules"]), None)

    def apart(self):
        """How many micro-batches are of modules that catch up beside the others."""
        is_apart = lambda commit: commit["kind"] == "micro_batch" and commit["offsets"] and all("@" in of for of in commit["offsets"])
        return sum(map(is_apart, self.commits))

    def before(self, version):
        """The ledger up to and with a version."""
        return Ledger([commit for commit in self.commits if commit["version"] <= version])

    def undone(self, module, rewinds):
        """Of a module's rewinds in the log of deployments, as (sequence, target), those that were done: (target, version of the target's
        micro-batch, version of the rewind). Of two that were asked for at once only the later one need be."""
        done, left = [], list(rewinds)
        for version, offsets in self.rewinds.get(module, []):
            at = next((at for at, (_, target) in enumerate(left) if target["offsets"] == offsets), None)
            if at is None:
                self.wrong.append(f"nobody ordered the rewind of {module} to {offsets}")
                continue
            _, target = left[at]
            left = left[at + 1:]
            of = [commit for commit in self.micro_batches(module) if commit["micro_batch"] == target["micro_batch"]]
            # Instances number for themselves; which one is meant, the offsets tell.
            fits = lambda commit: all(target["offsets"][of] == end for of, (_, end) in ranges_of(commit, module).items())
            of = [commit["version"] for commit in of if commit["version"] < version and fits(commit)]
            if not of:
                self.wrong.append(f"no micro-batch is the target {target} of a rewind")
                continue
            done.append((target, of[-1], version))
        if left and (not done or left[-1][1]["offsets"] != done[-1][0]["offsets"]):
            self.wrong.append(f"{module} did not go back to {left[-1]}")
        return done

    def micro_batches(self, module):
        return [commit for commit in self.commits if commit["kind"] == "micro_batch" and module in commit["modules"]]

    def counts(self, commit, dead):
        """What the row of a commit must count, where `dead` has the offsets of each partition's dead letters."""
        records = dead_letters = 0
        for module in commit["modules"] if commit["kind"] == "micro_batch" else []:
            for partition, (start, end) in ranges_of(commit, module).items():
                records += end - start
                offsets = dead.get(partition, [])
                dead_letters += bisect.bisect_left(offsets, end) - bisect.bisect_left(offsets, start)
        return {"records": records, "with_rows": records - dead_letters, "skips": 0, "dead_letters": dead_letters}


def ranges_of(commit, module):
    """By partition: what a commit says of a module. It has a range of its own where it is not where the others are."""
    ranges = {of: range for of, range in commit["offsets"].items() if "@" not in of and not of.startswith("redrive:")}
    own = {of.split("@")[0]: range for of, range in commit["offsets"].items() if of.endswith(f"@{module}")}
    return ranges | own


def parse(row, version):
    """A row of the commits table."""
    parsed = json.loads(row)
    return parsed | {"offsets": json.loads(parsed["offsets"]), "modules": json.loads(parsed["modules"]), "version": version}
