"""Reads animations with Blender, in the environment of ``make blender``; jobs as in the other."""

from __future__ import annotations

import json
import sys

import bpy
import numpy as np


def read(job):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    if job["reader"] == "bvh":
        bpy.ops.import_anim.bvh(filepath=job["file"], global_scale=0.01, update_scene_fps=True)
    else:
        scene.render.fps = job["fps"]  # whole: the importer does not look at fps_base
        bpy.ops.import_scene.gltf(filepath=job["file"])
    armatures = [o for o in bpy.data.objects if o.type == "ARMATURE"]
    armatures.sort(key=lambda o: o.name)
    skinned = sum(o.find_armature() is not None for o in bpy.data.objects if o.type == "MESH")
    armature = armatures[job.get("person", 0)]
    curves = armature.animation_data.action
    first, last = (round(n) for n in curves.frame_range)
    names = [bone.name for bone in armature.pose.bones]
    points = []
    for frame in range(first, last + 1):
        scene.frame_set(frame)
        placed = armature.matrix_world
        points.append([list(placed @ bone.head) for bone in armature.pose.bones])
    points = np.array(points)
    points = np.stack((points[..., 0], points[..., 2], -points[..., 1]), -1) * 1000  # y up
    rate = scene.render.fps / scene.render.fps_base
    times = (np.arange(first, last + 1) - (job["reader"] == "bvh")) / rate
    np.savez(job["out"], names=np.array(names), points=points, times=times,
             people=len(armatures), skinned=skinned)  # fmt: skip


for one in json.load(sys.stdin):
    read(one)
