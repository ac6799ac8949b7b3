"""Lists of videos that users make: by hand, by a spreadsheet, by a shell."""

import pytest

from actionrec.deploy.video_inputs import find_videos
from actionrec.errors import InputError

LISTS = {
    "plain.txt": b"a.mp4\nb,c.mp4\n\n",
    "column.csv": b'label,video\nx,a.mp4\ny,"b,c.mp4"\n',
    "spreadsheet.csv": b'\xef\xbb\xbfvideo,label\r\na.mp4,x\r\n"b,c.mp4",y\r\n',
    "shell.lst": b"\xef\xbb\xbfa.mp4\nb,c.mp4",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_names_its_videos(tmp_path, name):
    for video in ("a.mp4", "b,c.mp4"):
        (tmp_path / video).touch()
    (tmp_path / name).write_bytes(LISTS[name])
    assert find_videos([str(tmp_path / name)]) == [tmp_path / "a.mp4", tmp_path / "b,c.mp4"]


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"video\na.mp4,b\n", "more or fewer cells"), (b"video\n\xe9.mp4\n", "can't decode")],
)
def test_a_list_that_is_none_is_left_alone(tmp_path, content, found):
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(InputError, match=f"list of videos cannot be read[^*]*{found}") as error:
        find_videos([str(tmp_path / "list.csv")])
    assert "delete" not in str(error.value)
