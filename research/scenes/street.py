"""Streets, car parks and parks: road, pavements, fronts, vehicles, people, trees, sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from research.scenes.assembly import Light, Scene, SceneBuilder, Sky
from research.scenes.buildings import building_row
from research.scenes.camera import View
from research.scenes.layout import Layout
from research.scenes.library import Library
from research.scenes.mesh import Material, box, quad
from research.scenes.views import hfov, trial_depth

# Things stand on this stretch of the road [m]; what is farther is made of boxes.
_NEAR = 70.0


@dataclass(frozen=True)
class Street:
    """An outdoor scene and where cameras may stand in it."""

    scene: Scene
    #: Half the width of the road and of road and pavements [m].
    half_road: float
    half_street: float
    #: Rise per metre along and across.
    slope: tuple[float, float]


def make_street(library: Library, rng: np.random.Generator) -> Street:
    """Return a random street, car park or park, along x."""
    layout = Layout(SceneBuilder(), library, rng, budget=330_000)
    kind = rng.choice(['street', 'park', 'car park'], p=(0.68, 0.18, 0.14))
    lanes = int(rng.choice([1, 2, 2, 2, 3, 4, 4]))
    parking = bool(rng.random() < 0.65)
    half_road = lanes * rng.uniform(2.9, 3.6) / 2 + (2.2 if parking else 0.3)
    if kind == 'park':
        half_road, lanes = float(rng.uniform(0.8, 2.5)), 0
    if kind == 'car park':
        half_road, lanes, parking = float(rng.uniform(8, 16)), 0, False
    pavement = float(rng.uniform(1.2, 5))
    half_street = half_road + pavement
    _ground(layout, kind, half_road, half_street, lanes, parking)
    setback = float(rng.uniform(0, 3)) if rng.random() < 0.6 else float(rng.uniform(3, 14))
    for side in (-1, 1):
        if kind != 'park' or rng.random() < 0.4:
            building_row(
                layout, side, half_street + setback + (12 if kind == 'park' else 0), _NEAR
            )
    if kind == 'street':
        _traffic(layout, half_road, lanes, parking)
    elif kind == 'car park':
        _parked_rows(layout, half_road)
    _people(layout, half_road, half_street)
    _furniture(layout, kind, half_road, half_street, half_street + setback)
    _far(layout)
    slope = (float(rng.normal(0, 0.025)), float(rng.normal(0, 0.008)))
    sky = _daylight(layout)
    return Street(layout.builder.build(sky, kind, slope=slope), half_road, half_street, slope)


def _ground(
    layout: Layout, kind: str, half_road: float, half_street: float, lanes: int, parking: bool
) -> None:
    rng, add = layout.rng, layout.builder.add
    far = 400.0
    field, field_m = layout.covering(('grass', 'grass', 'paving', 'asphalt', 'concrete'))
    if kind == 'park':
        field, field_m = layout.covering(('grass',))
    add(
        quad((-far, -far, -0.02), (2 * far, 0, 0), (0, 2 * far, 0), field, metres=field_m),
        name='ground',
    )
    road, road_m = layout.covering(
        ('paving' if kind == 'park' and rng.random() < 0.6 else 'asphalt',)
    )
    add(
        quad((-far, -half_road, 0), (2 * far, 0, 0), (0, 2 * half_road, 0), road, metres=road_m),
        name='ground',
    )
    if kind == 'park':
        return
    high = float(rng.uniform(0.06, 0.18))
    pavement, pavement_m = layout.covering(('paving', 'paving', 'concrete', 'asphalt'))
    kerb, kerb_m = layout.covering(('concrete',))
    for side in (-1, 1):
        inner, outer = side * half_road, side * half_street
        gaps = [(-far, -40.0), (-34.0, float(rng.uniform(10, 40)))]
        gaps.append((gaps[-1][1] + 7, far))  # side streets
        for start, end in gaps:
            low, high_y = min(inner, outer), max(inner, outer)
            add(
                box((start, low, -0.05), (end, high_y, high), pavement, metres=pavement_m),
                name='ground',
            )
            edge = inner if side > 0 else inner - 0.15
            add(
                box(
                    (start, edge - 0.002, -0.05),
                    (end, edge + 0.15, high + 0.003),
                    kerb,
                    metres=kerb_m,
                ),
                name='kerb',
            )
    _markings(layout, half_road, lanes, parking)


def _markings(layout: Layout, half_road: float, lanes: int, parking: bool) -> None:
    rng, add = layout.rng, layout.builder.add
    tone = rng.uniform(0.35, 0.8)
    paint = Material((tone, tone, tone * rng.uniform(0.6 if rng.random() < 0.3 else 0.95, 1)))
    if rng.random() < 0.15:
        return
    inner = half_road - (2.2 if parking else 0.3)
    lines = np.linspace(-inner, inner, lanes + 1) if lanes else np.empty(0)
    for i, y in enumerate(lines):
        whole = i in (0, lanes) or (lanes > 1 and rng.random() < 0.2)
        step, length = (400.0, 400.0) if whole else (float(rng.choice([6, 9, 12])), 3.0)
        for x in np.arange(-60, 140, step) if not whole else (-100.0,):
            add(quad((x, y - 0.06, 0.006), (length, 0, 0), (0, 0.13, 0), paint), name='marking')
    if rng.random() < 0.35:  # a crossing
        x = float(rng.uniform(4, 30))
        for y in np.arange(-half_road + 0.3, half_road - 0.5, 1.0):
            add(quad((x, y, 0.007), (3, 0, 0), (0, 0.5, 0), paint), name='marking')


def _traffic(layout: Layout, half_road: float, lanes: int, parking: bool) -> None:
    rng, library = layout.rng, layout.library
    cars, large, cycles = (library.role(role) for role in ('car', 'large_vehicle', 'cycle'))
    if parking:
        for side in (-1, 1):
            x = float(rng.uniform(-25, -12))
            while x < _NEAR:
                if rng.random() < 0.85:
                    found = layout.pick(cars if rng.random() < 0.92 else cycles)
                    if found is None:
                        break
                    yaw = np.pi / 2 * (1 if rng.random() < 0.85 else -1) * side + rng.normal(
                        0, 0.03
                    )
                    layout.try_put(found, (x, side * (half_road - 1.15)), float(yaw))
                x += float(rng.uniform(4.8, 7.5)) if x < 25 else float(rng.uniform(8, 16))
    inner = half_road - (2.2 if parking else 0.3)
    if lanes:
        lane = 2 * inner / lanes
        for _ in range(rng.poisson(1.0 + 1.6 * lanes)):
            i = int(rng.integers(lanes))
            y = -inner + lane * (i + 0.5) + float(rng.normal(0, 0.15))
            x = float(rng.choice([-1, 1], p=(0.2, 0.8)) * (4 + rng.exponential(22)))
            # Right-hand traffic; fronts look along -y before they are turned.
            yaw = np.pi / 2 if y < 0 else -np.pi / 2
            sort = rng.random()
            found = layout.pick(cars if sort < 0.78 else large if sort < 0.93 else cycles)
            layout.try_put(found, (x, y), float(yaw + rng.normal(0, 0.04)), gap=0.3)


def _parked_rows(layout: Layout, half_road: float) -> None:
    rng = layout.rng
    cars = layout.library.role('car')
    paint = Material((0.7, 0.7, 0.7))
    for y in np.arange(-half_road + 3, half_road - 2, 6.5):
        for x in np.arange(-12, 45, 2.6):
            if rng.random() < 0.8:
                layout.builder.add(
                    quad((x - 1.3, y - 2.5, 0.006), (0.1, 0, 0), (0, 5, 0), paint), name='marking'
                )
            if rng.random() < 0.35:
                found = layout.pick(cars)
                layout.try_put(
                    found,
                    (float(x), float(y)),
                    float(np.pi * rng.integers(2) + rng.normal(0, 0.04)),
                )


def _people(layout: Layout, half_road: float, half_street: float) -> None:
    rng = layout.rng
    for _ in range(rng.poisson(3.5)):
        found = layout.pick(layout.library.role('standing' if rng.random() < 0.9 else 'animal'))
        on_road = rng.random() < 0.2
        y = (
            rng.uniform(-half_road, half_road)
            if on_road
            else rng.choice([-1, 1]) * rng.uniform(half_road + 0.3, half_street)
        )
        height = 0.0 if on_road else 0.12
        place = (float(rng.uniform(-8, 30)), float(y))
        layout.try_put(found, place, float(rng.uniform(0, 6.3)), height=height)


def _furniture(
    layout: Layout, kind: str, half_road: float, half_street: float, front: float
) -> None:
    """Add trees, hedges, lamps, fences, benches and the rest."""
    rng, library = layout.rng, layout.library
    trees = library.pick(library.role('tree'), rng), library.pick(library.role('tree'), rng)
    count = rng.poisson(5 if kind == 'park' else 2.5)
    for _ in range(count):
        found = trees[int(rng.integers(2))] if layout.builder.triangles < layout.budget else None
        side = rng.choice([-1, 1])
        y = side * (half_street - 0.6 if kind != 'park' else half_road + rng.exponential(8) + 1.5)
        if found is not None:
            place = (float(rng.uniform(-20, 50)), float(y))
            if abs(place[0]) + abs(place[1]) > 3:
                layout.put(
                    found,
                    (*place, 0),
                    float(rng.uniform(0, 6.3)),
                    scale=float(rng.uniform(0.5, 1.15)),
                )
    lamp = layout.pick(library.role('street_lamp'))
    if lamp is not None and rng.random() < 0.8:
        step, start = float(rng.uniform(12, 30)), float(rng.uniform(-15, 5))
        for x in np.arange(start, 60, step):
            for side in (-1, 1):
                layout.try_put(
                    lamp, (float(x), side * (half_road + 0.5)), np.pi / 2 * (1 - side), gap=0.0
                )
    for _ in range(rng.poisson(6)):
        role = str(
            rng.choice(['street_thing', 'hedge', 'garden' if kind != 'street' else 'hedge'])
        )
        found = layout.pick(library.role(role))
        side = rng.choice([-1, 1])
        y = side * rng.uniform(
            half_road + 0.4, max(front, half_road + (8 if kind == 'park' else 1))
        )
        yaw = float(np.pi / 2 * (1 - side) + rng.normal(0, 0.05))
        layout.try_put(found, (float(rng.uniform(-10, 35)), float(y)), yaw, height=0.1)
    if rng.random() < 0.5:
        _poles(layout, half_road)


def _poles(layout: Layout, half_road: float) -> None:
    """Add poles with signs or wires' masts."""
    rng = layout.rng
    grey = Material((0.2, 0.2, 0.21))
    for _ in range(int(rng.integers(1, 7))):
        x, side = float(rng.uniform(-10, 60)), rng.choice([-1, 1])
        high, thick = float(rng.uniform(2.2, 9)), float(rng.uniform(0.04, 0.14))
        y = float(side * (half_road + 0.4))
        layout.builder.add(box((x, y, 0), (x + thick, y + thick, high), grey), name='pole')
        if high < 4:
            sign = Material(tuple(float(c) for c in rng.uniform(0.02, 0.9, 3)))
            layout.builder.add(
                box((x - 0.02, y - 0.3, high - 0.6), (x, y + 0.3, high), sign), name='sign'
            )


def _far(layout: Layout) -> None:
    """Add what closes the street far away: buildings and woods as boxes."""
    rng = layout.rng
    for end in (-1, 1):
        for _ in range(int(rng.integers(6, 22))):
            x, y = end * float(rng.uniform(110, 320)), float(rng.normal(0, 90))
            a, b, c = rng.uniform(8, 25), rng.uniform(8, 25), rng.gamma(2, 8) + 4
            wood = rng.random() < 0.35
            material, metres = layout.covering(
                ('grass',) if wood else ('plaster', 'brick', 'concrete')
            )
            c = min(c, 10) if wood else c
            layout.builder.add(
                box((x - a, y - b, -10), (x + a, y + b, c), material, metres=metres * 4),
                name='trees' if wood else 'building',
            )


def _daylight(layout: Layout) -> Sky:
    rng = layout.rng
    blue = np.array([0.35, 0.55, 1.0])
    overcast = rng.random() < 0.35
    bright = 1.0
    zenith = bright * (
        np.array([0.8, 0.85, 0.92]) if overcast else blue * rng.uniform(0.6, 1.1) + 0.1
    )
    horizon = (
        bright
        * (np.array([0.9, 0.93, 0.97]) if overcast else np.array([0.85, 0.92, 1.0]))
        * rng.uniform(0.85, 1.2)
    )
    rise, around = np.radians(rng.uniform(12, 70)), rng.uniform(0, 2 * np.pi)
    sun = np.array([np.cos(around) * np.cos(rise), np.sin(around) * np.cos(rise), np.sin(rise)])
    strength = rng.uniform(0.0, 0.35) if overcast else rng.uniform(0.8, 2.4)
    warm = np.array([1.0, 0.75 + 0.25 * np.sin(rise), 0.5 + 0.45 * np.sin(rise)])
    layout.builder.lights.append(
        Light(sun, strength * warm, radius=0.4 if overcast else 0.02, is_sun=True)
    )
    above = 0.45 * (zenith + horizon) * rng.uniform(0.7, 1.1)
    seen = rng.uniform(0.4, 1.0)
    return Sky(
        zenith=zenith * seen,
        horizon=horizon * seen,
        above=above,
        below=above * 0.35 + 0.1 * strength * warm,
        haze_m=float(np.exp(rng.uniform(np.log(250), np.log(6000)))),
        clouds=float(rng.uniform(0, 1)) if rng.random() < 0.7 else 0.0,
        seed=int(rng.integers(2**31)),
    )


def street_view(street: Street, rng: np.random.Generator) -> View:
    """Return a view from a car along or across the road, from a robot, a person or a drone."""
    for _ in range(25):
        kind = rng.choice(4, p=(0.55, 0.2, 0.17, 0.08))
        x = float(rng.uniform(-6, 6))
        if kind == 0:
            y = float(rng.uniform(-0.7, 0.7) * max(street.half_road - 2, 0.5))
            level, pitch = rng.uniform(1.2, 1.9), rng.normal(-1, 3)
            around = rng.choice([0, 0, 0, 60, -60, 100, -100, 180]) + rng.normal(0, 8)
        elif kind == 3:
            y = float(rng.uniform(-1, 1) * street.half_street)
            level, pitch, around = (
                rng.uniform(2.5, 9),
                rng.uniform(-50, -5),
                rng.uniform(-180, 180),
            )
        else:
            y = float(rng.uniform(-1, 1) * street.half_street)
            level = rng.uniform(0.2, 0.7) if kind == 1 else rng.uniform(1.4, 1.8)
            pitch, around = rng.normal(-5, 7), rng.uniform(-180, 180)
        base = street.slope[0] * x + street.slope[1] * y
        if abs(y) > street.half_road:
            base += 0.15
        tilt = np.degrees(np.arctan(street.slope[0])) * np.cos(np.radians(around))
        view = View(
            np.array([x, y, base + level]),
            float(np.radians(around)),
            float(np.radians(np.clip(pitch + tilt, -65, 20))),
            float(np.radians(rng.normal(0, 1.5))),
            hfov(rng, 35, 100),
        )
        depth = trial_depth(street.scene, view)
        if (depth < 0.6).mean() < 0.01 and np.median(depth) > 1.5:
            break
    return view
