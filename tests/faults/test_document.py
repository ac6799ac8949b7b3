"""The page on reliability has the table of the entries, and every entry says what it needs to."""

from faults import document


def test_the_page_is_up_to_date():
    assert document.PAGE.read_text(encoding="utf-8") == document.page(), "run: make docs"


def test_every_entry_says_how_it_is_injected_what_is_seen_and_what_is_kept():
    found = document.areas()
    assert sum(map(len, found.values())) >= 120
    for area, faults in found.items():
        names = [fault.fault for fault in faults]
        assert len(set(names)) == len(names), f"two of one name in {area}"
        for fault in faults:
            assert fault.how and fault.kept and all(fault.all_seen), fault.fault
