"""Every Redis key and every script is documented and used."""

import re
from pathlib import Path

import ossimport.ledger
from ossimport.ledger import keys
from ossimport.ledger.keys import JOBS, LIMITS, RATE_PREFIX, RATES, UNTIL, WORKERS, JobKeys

FOLDER = Path(ossimport.ledger.__file__).parent
SCRIPTS = sorted((FOLDER / "lua").glob("*.lua"))


def test_every_key_is_documented_and_begins_with_our_prefix() -> None:
    documented = set(re.findall(r"^\| `([^`]+)` \|", keys.__doc__ or "", re.MULTILINE))
    known = {
        str(value) + ("ID" if name.endswith("_prefix") else "")
        for name, value in vars(JobKeys("job")).items()
    }
    rate = f"{RATE_PREFIX}NAME"
    assert documented == known | {JOBS, WORKERS, LIMITS, RATES, rate, rate + UNTIL}
    assert all(key.startswith("oi:") for key in documented)


def test_the_keys_of_a_job_share_its_hash_tag() -> None:
    at = JobKeys("photos")
    for key in (*vars(at).values(), at.task("T1"), at.uploads("T1")):
        assert key.startswith("oi:{photos}")


def test_every_field_that_a_script_names_is_documented() -> None:
    used = set()
    for script in SCRIPTS:
        for arguments in re.findall(r"\((?:job|task), '(\w+)'", script.read_text("utf-8")):
            used.add(arguments)
    assert "flushes" in used
    undocumented = {field for field in used if not re.search(rf"\b{field}\b", keys.__doc__ or "")}
    assert undocumented == set()


def test_every_script_says_what_it_takes_and_is_run_by_one_method() -> None:
    parts = "".join(path.read_text("utf-8") for path in FOLDER.glob("*_part.py"))
    for script in SCRIPTS:
        text = script.read_text("utf-8")
        assert text.startswith("-- "), script.name
        if script.stem != "prelude":
            assert re.search(r"^-- KEYS  \w", text, re.MULTILINE), script.name
            takes_arguments = "ARGV" in re.sub(r"^--.*", "", text, flags=re.MULTILINE)
            assert takes_arguments == ("\n-- ARGV  " in text), script.name
            assert f'_run("{script.stem}"' in parts, script.name
