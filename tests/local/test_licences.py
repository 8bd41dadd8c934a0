"""What we hand on is under licences that let us."""

from local import licences

# Such as ask that what is linked with them, or offered by them, be opened too.
COPYLEFT = ("GPL", "SSPL", "EUPL", "BUSL", "Business Source", "unknown")


def test_the_table_has_all_that_is_installed() -> None:
    """It may have more, which other platforms need."""
    table = licences.FILE.read_text()
    missing = [each for each in map(licences.row, licences.packages()) if each not in table]
    assert missing == [], "run `make reference` and commit what it writes"


def test_images_hold_nothing_that_binds_who_runs_them() -> None:
    shipped = [each for each in licences.packages() if each.shipped]
    assert len(shipped) > 20
    bound = [each for each in shipped if any(word in each.licence for word in COPYLEFT)]
    assert bound == []


def test_the_one_that_binds_is_for_one_machine_alone() -> None:
    bound = [each.name for each in licences.packages() if "GPL" in each.licence]
    assert bound == ["secantusdb"]
