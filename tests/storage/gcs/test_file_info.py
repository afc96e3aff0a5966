import google_crc32c
from hypothesis import given
from hypothesis import strategies as st

from graftline.storage.file_info import joined


@given(st.binary(), st.binary())
def test_checksums_of_pieces_join_to_that_of_the_whole(first: bytes, second: bytes) -> None:
    crcs = google_crc32c.value(first), google_crc32c.value(second)
    assert joined(*crcs, bytes(len(second))) == google_crc32c.value(first + second)
