"""The real functions behind activation tables, bit for bit as the Rust crate `libm` 0.2 computes them.

`exp`, `expm1` and `tanh` are transcribed from FreeBSD's msun, which `libm` follows:

    Copyright (C) 1993, 2004 by Sun Microsystems, Inc. All rights reserved.
    Permission to use, copy, modify, and distribute this software is freely granted,
    provided that this notice is preserved.

Python's floats are IEEE doubles and its `+ − · /` round correctly, so equal operations in equal
order give equal results. `math.exp` would differ in the last place, now and then. `log`, `log1p` and
`erf` are Python's: an entry of a table that depends on the last place of one of them is refused.
"""

import math
import struct

LN2_HI = 6.93147180369123816490e-01
LN2_LO = 1.90821492927058770002e-10
INV_LN2 = 1.44269504088896338700e00


def _high(x):
    """The high word of |x|: exponent and 20 bits of the fraction."""
    return struct.unpack("<Q", struct.pack("<d", x))[0] >> 32 & 0x7FFFFFFF


def exp(x):
    high = _high(x)
    if x > 709.782712893383973096:
        return math.inf
    if x < -745.13321910194110842:
        return 0.0
    if high > 0x3FD62E42:  # |x| > ln 2 / 2
        if high >= 0x3FF0A2B2:  # |x| ≥ 1.5·ln 2
            k = int(INV_LN2 * x + (0.5 if x >= 0 else -0.5))
        else:
            k = 1 if x >= 0 else -1
        hi, lo = x - k * LN2_HI, k * LN2_LO
        x = hi - lo
    elif high > 0x3E300000:  # |x| > 2^−28
        k, hi, lo = 0, x, 0.0
    else:
        return 1.0 + x
    p1, p2, p3 = 1.66666666666666019037e-01, -2.77777777770155933842e-03, 6.61375632143793436117e-05
    p4, p5 = -1.65339022054652515390e-06, 4.13813679705723846039e-08
    xx = x * x
    c = x - xx * (p1 + xx * (p2 + xx * (p3 + xx * (p4 + xx * p5))))
    y = 1.0 + (x * c / (2.0 - c) - lo + hi)
    return math.ldexp(y, k)


def expm1(x):
    """For x ≤ 40, which is all `tanh` and `Elu` need."""
    high = _high(x)
    if x < 0 and high >= 0x4043687A:
        return -1.0
    if high > 0x3FD62E42:
        if high < 0x3FF0A2B2:
            k = 1 if x >= 0 else -1
        else:
            k = int(INV_LN2 * x + (0.5 if x >= 0 else -0.5))
        hi, lo = x - k * LN2_HI, k * LN2_LO
        x = hi - lo
        c = (hi - x) - lo
    elif high < 0x3C900000:
        return x
    else:
        c, k = 0.0, 0
    q1, q2, q3 = -3.33333333333331316428e-02, 1.58730158725481460165e-03, -7.93650757867487942473e-05
    q4, q5 = 4.00821782732936239552e-06, -2.01099218183624371326e-07
    hfx = 0.5 * x
    hxs = x * hfx
    r1 = 1.0 + hxs * (q1 + hxs * (q2 + hxs * (q3 + hxs * (q4 + hxs * q5))))
    t = 3.0 - r1 * hfx
    e = hxs * ((r1 - t) / (6.0 - x * t))
    if k == 0:
        return x - (x * e - hxs)
    e = x * (e - c) - c
    e -= hxs
    if k == -1:
        return 0.5 * (x - e) - 0.5
    if k == 1:
        return -2.0 * (e - (x + 0.5)) if x < -0.25 else 1.0 + 2.0 * (x - e)
    if k < 0 or k > 56:
        return (x - e + 1.0) * 2.0**k - 1.0
    if k < 20:
        return (x - e + (1.0 - 2.0**-k)) * 2.0**k
    return (x - (e + 2.0**-k) + 1.0) * 2.0**k


def tanh(x):
    y, high = abs(x), _high(x)
    if high > 0x40340000:  # |x| > 20
        t = 1.0
    elif high > 0x3FE193EA:  # |x| > ln(3)/2
        t = 1.0 - 2.0 / (expm1(2.0 * y) + 2.0)
    elif high > 0x3FD058AE:  # |x| > ln(5/3)/2
        t = expm1(2.0 * y)
        t = t / (t + 2.0)
    elif high >= 0x00100000:
        t = expm1(-2.0 * y)
        t = -t / (t + 2.0)
    else:
        t = y
    return math.copysign(t, x)


def sigmoid(x):
    return 1.0 / (1.0 + exp(-x))


def unit(x):
    return min(max(x, 0.0), 1.0)


def parameter(bits):
    """An f32, exactly."""
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def function_is_sound(function):
    """Whether the parameters are finite, and in order."""
    parameters = [parameter(bits) for bits in function[1:]]
    if function[0] == CLIP and parameters[0] > parameters[1]:
        return False
    if function[0] == LOG and parameters[0] <= 0.0:
        return False
    return all(map(math.isfinite, parameters))


def nearby(y):
    """A value of `math` and its neighbours, among which is that of `libm`."""
    return math.nextafter(y, -math.inf), y, math.nextafter(y, math.inf)


CLIP = 4
LOG = 13


def candidates(function, x):
    """The value at `x`. Where a function is not transcribed there are several, one of them right."""
    kind, *bits = function
    a, b = [parameter(bits[i]) if i < len(bits) else 0.0 for i in range(2)]
    if kind == 10:  # Softplus
        return [max(x, 0.0) + y for y in nearby(math.log1p(exp(-abs(x))))]
    if kind == 11:  # Gelu
        return [0.5 * x * (1.0 + y) for y in nearby(math.erf(x * 0.7071067811865476))]
    if kind == LOG:
        return nearby(math.log(min(max(x / a, 1.0), 16.0)))
    values = (
        lambda: x,
        lambda: x if x > 0.0 else 0.0,
        lambda: sigmoid(x),
        lambda: tanh(x),
        lambda: min(max(x, a), b),  # Clip
        lambda: a * x if x < 0.0 else x,  # LeakyRelu
        lambda: x * unit(x / 6.0 + 0.5),  # HardSwish
        lambda: unit(a * x + b),  # HardSigmoid
        lambda: x * sigmoid(x),  # Silu
        lambda: a * expm1(x) if x < 0.0 else x,  # Elu
        None,
        None,
        lambda: exp(x),
        None,
        lambda: 1.0 if x >= 0.0 else 0.0,  # Step
    )
    return [values[kind]()]
