"""Tables that are known and cannot be lifted say what to give instead."""

from __future__ import annotations

import pytest

from lifting.data.keypoints.read import read_people
from lifting.errors import DataError

HEADERS = {
    "left_knee_x,left_knee_y,left_knee_z,left_knee_error,left_knee_ncams,left_knee_score,M_00,"
    "center_0,fnum": "3D positions of Anipose; give .* pose-2d",
    "sync_index,point_id,x_coord,y_coord,z_coord": "3D positions of Caliscope",
    "sync_index,port,frame_index,frame_time,point_id,img_loc_x,img_loc_y": "rig solve",
}


@pytest.mark.parametrize("header", HEADERS)
def test_known_tables_are_refused(tmp_path, header):
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\n{','.join('1' for _ in header.split(','))}\n")
    with pytest.raises(DataError, match=HEADERS[header]):
        read_people(path)
