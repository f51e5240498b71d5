from ramekin.infer.form_states import OptionState


def test_options_by_hand():
    state = OptionState([(5, 1), (5, 6, 1), (7, 1)], vocab_size=9, device="cpu")
    assert state.allowed().nonzero()[:, 0].tolist() == [5, 7]
    assert state.after(5).allowed().nonzero()[:, 0].tolist() == [1, 6]
    assert state.after(5).after(6).allowed().nonzero()[:, 0].tolist() == [1]
    assert state.allowed().nonzero()[:, 0].tolist() == [5, 7], "a state does not change"
