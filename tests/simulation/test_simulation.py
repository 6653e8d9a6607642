#!/usr/bin/python3
# tests: timeout=900
"""Worlds from a fixed list of seeds, from fresh ones, and with deliberate mistakes in them.

TESTS_LONG=1 takes many more; SIMULATION_SECONDS says for how long fresh seeds are tried, SIMULATION_LIVES how many hosts
live and die. A seed that fails is printed, and `simulate --seed N …` shows the same again."""

import json
import os
import random
import subprocess
import sys
import time

SIMULATE = os.path.join(os.environ["BUILD_DIR"], "tests", "simulation", "simulate")
LONG = os.environ.get("TESTS_LONG") == "1"
SECONDS = float(os.environ.get("SIMULATION_SECONDS", "1200" if LONG else "60"))
LIVES = int(os.environ.get("SIMULATION_LIVES", "100000" if LONG else "2000"))

# What each of these once found stays found: (seed, days).
FOUND = [(1, 60), (2, 60), (5, 60), (6, 60), (43, 90), (72, 90), (121, 60), (137, 60), (138, 60), (208, 60), (227, 60),
         (274, 60), (294, 60), (316, 60), (1095410422, 60),
         (1723416659, 60), (3249913396, 60)]
# The same, with all that there is now: (seed, hosts).
FOUND_WITH_RELOAD = [(seed, 1) for seed in (110, 136, 199, 3007, 3034, 3144, 3153, 4009, 4054, 4131, 8072, 3100215, 15000673)]
FOUND_WITH_RELOAD += [(6000038, 2), (8000114, 2), (13000217, 2), (22001000, 2)]
# Within so many seeds each deliberate mistake must show.
MUTATION_SEEDS = 40
WITHOUT_RELOAD = ("power,crash,disk,network,gitlab,expiry,upgrade,people,neighbour,clock,clone,pass,drain,notice,dates")
# What shows in worlds with reloads only.
MUTATIONS_OF_RELOAD = ("reload-forgets", "ignore-other-names")

failed = False


def say(good, name, why=""):
    global failed
    failed = failed or not good
    print("PASS " + name if good else "FAIL %s: %s" % (name, why), flush=True)


def run(*arguments):
    return subprocess.run([SIMULATE, *[str(a) for a in arguments]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)


def why(done, arguments):
    tail = " / ".join(line.strip() for line in done.stdout.splitlines()[-4:] if line.strip())
    return "`simulate %s` exits %d: %s" % (" ".join(str(a) for a in arguments), done.returncode, tail[-400:])


def holds(name, *arguments):
    done = run(*arguments)
    say(done.returncode == 0, name, why(done, arguments))
    return done.returncode == 0


def figures(*arguments):
    done = run(*arguments, "--json")
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError:
        return done.returncode, {}


def test_found():
    for seed, days in FOUND:
        holds("seed %d holds for %d days" % (seed, days), "--seed", seed, "--days", days, "--faults", WITHOUT_RELOAD)
    for seed, hosts in FOUND_WITH_RELOAD:
        holds("seed %d holds with reloads" % seed, "--seed", seed, "--days", 60, "--hosts", hosts)


def test_repeats():
    for arguments in (("--seed", 3, "--days", 60), ("--seed", 4, "--days", 30, "--mutation", "delete-shared-runner"),
                      ("--scenario", "lives", "--hosts", 50, "--json")):
        one, two = run(*arguments), run(*arguments)
        say(one.stdout == two.stdout and one.returncode == two.returncode,
            "the same seed gives the same output: %s" % " ".join(str(a) for a in arguments), "it does not")


def test_year():
    begin = time.process_time(), os.times()
    holds("a host's year", "--seed", 1)
    seconds = os.times().children_user - begin[1].children_user
    # Sanitizers take several times as long.
    limit = 10 if "sanitized" not in os.environ["BUILD_DIR"] else 100
    say(seconds <= limit, "a host's year takes at most %d s" % limit, "it took %.1f s" % seconds)


def test_mutations():
    names = run("--mutation", "list").stdout.split()
    say(len(names) >= 10, "there are deliberate mistakes", "only %d" % len(names))
    for name in names:
        for seed in range(1, MUTATION_SEEDS + 1):
            done = run("--mutation", name, "--seed", seed, "--days", 30, "--faults",
                       "all" if name in MUTATIONS_OF_RELOAD else WITHOUT_RELOAD)
            if done.returncode != 0:
                break
        say(done.returncode == 1 and "breaks" in done.stdout, "%s is caught, by seed %d" % (name, seed),
            "not within %d seeds" % MUTATION_SEEDS if done.returncode == 0 else why(done, ()))


def test_herds():
    for scenario in ("herd-boot", "herd-outage"):
        code, f = figures("--scenario", scenario)
        say(code == 0 and not f["broken"], "%s holds" % scenario, str(f))
        say(f["peak_per_second"] <= 1.2 * f["budget_per_second"], "%s: the peak keeps to the budget" % scenario, str(f))
        say(f["throttled_per_host"] <= 1, "%s: hosts are refused once at most" % scenario, str(f))
        say(0 < f["seconds_to_99"] <= 1.5 * f["seconds_minimum"], "%s: soon over" % scenario, str(f))


def test_blanket():
    for hosts in (30, 1000):
        code, f = figures("--scenario", "blanket", "--hosts", hosts)
        say(code == 0 and f.get("creations") == 0 and f.get("deletions") == 0,
            "%d hosts make and delete nothing while GitLab refuses everything" % hosts, str(f))


def test_lives():
    code, f = figures("--scenario", "lives", "--hosts", LIVES)
    say(code == 0 and f.get("ghosts") == 0 and f.get("tokens_lost") == 0, "%d lives leave no ghost" % LIVES, str(f))
    say(f.get("lost_answers", -1) == f.get("orphans_recorded"), "every lost answer is noted", str(f))


def try_fresh(seconds, days):
    end, seeds, number = time.monotonic() + seconds, random.SystemRandom(), 0
    while time.monotonic() < end:
        arguments = ("--seed", seeds.randrange(1 << 32), "--days", days, "--hosts", 1 + number % 3 // 2)
        done = run(*arguments)
        number += 1
        if done.returncode != 0:
            say(False, "fresh seed", why(done, arguments))
            return
    say(True, "%d fresh seeds" % number)


def test_fresh():
    try_fresh(SECONDS, 60)


def main():
    for test in (test_found, test_repeats, test_year, test_mutations, test_herds, test_blanket, test_lives, test_fresh):
        test()
    return failed


if __name__ == "__main__":
    sys.exit(main())
