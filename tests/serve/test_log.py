from ramekin.serve.log import one_line


def test_a_failure_is_one_line_with_its_place():
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        told = one_line(error)
    assert told.startswith("ValueError: two lines (test_log.py:")
    assert "\n" not in told


def test_a_failure_that_says_nothing():
    assert one_line(KeyError()) == "KeyError"
