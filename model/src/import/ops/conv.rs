//! Convolutions and their transposes, and the attributes they share with pooling.

use air::graph::{AXES, Axis, AxisMap, Kernel, Map};
use tract_onnx::pb::NodeProto;

use super::super::constant;
use super::super::error::ImportError;
use super::super::expr::Expr;
use super::super::layout::Layout;
use super::super::lower::{Lowering, unsupported};
use super::super::term::Linear;
use super::{attribute, input, int, optional_input, text};

/// Reads an image: batch, channels, spatial dimensions, each on the axis that is its own.
pub(super) fn image(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    name: &str,
) -> Result<Expr, ImportError> {
    let x = lowering.read(node, name)?;
    if x.is_image() {
        return Ok(x);
    }
    let reason = format!(
        "its input, of the shape {:?}, is no image of batch, channels and up to three dimensions \
         that lie as they did in the model's input",
        x.shape()
    );
    Err(unsupported(node, reason))
}

/// The axes of positions that the spatial dimensions of an image of this rank lie on.
pub(super) fn spatial_axes(rank: usize) -> &'static [usize] {
    match rank {
        3 => &[2],
        4 => &[1, 2],
        _ => &[0, 1, 2],
    }
}

/// How a kernel moves along one dimension.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    pub before: usize,
    pub after: usize,
}

impl Window {
    /// Inputs from the first tap to the last.
    pub(super) fn reach(&self) -> usize {
        self.dilation * (self.kernel - 1) + 1
    }

    /// Outputs over `n` inputs.
    pub(super) fn outputs(&self, n: usize, is_ceil: bool) -> Option<usize> {
        let room = (n + self.before + self.after).checked_sub(self.reach())?;
        let mut outputs = if is_ceil {
            room.div_ceil(self.stride) + 1
        } else {
            room / self.stride + 1
        };
        // A window that begins in the padding behind the input is none.
        if is_ceil && (outputs - 1) * self.stride >= n + self.before {
            outputs -= 1;
        }
        Some(outputs)
    }

    pub(super) fn axis(&self, inputs: usize) -> AxisMap {
        AxisMap {
            taps: self.kernel as u32,
            stride: self.stride as u32,
            dilation: self.dilation as u32,
            pad: self.before as i32,
            ..AxisMap::identity(inputs as u32)
        }
    }
}

/// The list attribute of this name, of one positive number for each spatial dimension.
pub(super) fn list(
    node: &NodeProto,
    name: &str,
    len: usize,
    default: i64,
) -> Result<Vec<usize>, ImportError> {
    let values = match attribute(node, name) {
        Some(a) if !a.ints.is_empty() => a.ints.clone(),
        _ => vec![default; len],
    };
    let least = i64::from(default == 1);
    let ok = |v: &&i64| (least..=4096).contains(*v);
    let wrong = || unsupported(node, format!("`{name}` is {values:?}"));
    if values.len() != len || values.iter().filter(ok).count() != len {
        return Err(wrong());
    }
    Ok(values.iter().map(|&v| v as usize).collect())
}

/// The windows of a convolution or a pooling over dimensions of these sizes.
pub(super) fn windows(
    node: &NodeProto,
    kernel: &[usize],
    sizes: &[usize],
) -> Result<Vec<Window>, ImportError> {
    let n = sizes.len();
    let (strides, dilations) = (list(node, "strides", n, 1)?, list(node, "dilations", n, 1)?);
    let pads = list(node, "pads", 2 * n, 0)?;
    let auto_pad = text(node, "auto_pad", "NOTSET");
    let mut windows = Vec::with_capacity(n);
    for i in 0..n {
        let mut window = Window {
            kernel: kernel[i],
            stride: strides[i],
            dilation: dilations[i],
            before: pads[i],
            after: pads[n + i],
        };
        match auto_pad.as_str() {
            "NOTSET" | "" => {}
            "VALID" => (window.before, window.after) = (0, 0),
            "SAME_UPPER" | "SAME_LOWER" => {
                let outputs = sizes[i].div_ceil(window.stride);
                let needed = (outputs - 1) * window.stride + window.reach();
                let total = needed.saturating_sub(sizes[i]);
                let (less, more) = (total / 2, total.div_ceil(2));
                (window.before, window.after) = if auto_pad == "SAME_UPPER" {
                    (less, more)
                } else {
                    (more, less)
                };
            }
            other => return Err(unsupported(node, format!("auto_pad is `{other}`"))),
        }
        windows.push(window);
    }
    Ok(windows)
}

/// The layout of an image with other channels and sizes.
pub(super) fn resized(layout: &Layout, channels: usize, sizes: &[usize]) -> Layout {
    let rank = layout.rank();
    let mut out = layout.with(1, Axis::Feature, channels);
    for (i, (&axis, &size)) in spatial_axes(rank).iter().zip(sizes).enumerate() {
        out = out.with(2 + i, Axis::POSITION[axis], size);
    }
    out
}

/// What both kinds of convolution read.
struct Operands {
    x: Expr,
    shape: Vec<usize>,
    weights: Vec<f32>,
    /// Sizes of the kernel, spatial dimensions only.
    kernel: Vec<usize>,
    groups: usize,
    /// Channels of the result.
    outputs: usize,
    bias: Vec<f64>,
}

/// Reads them; `is_transposed` says that the weights have input channels first.
fn operands(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    is_transposed: bool,
) -> Result<Operands, ImportError> {
    let w = lowering.constant(node, input(node, 1)?)?;
    let w_shape = constant::shape_of(&w);
    let x = image(lowering, node, input(node, 0)?)?;
    let shape = x.shape();
    let groups = usize::try_from(int(node, "group", 1)).unwrap_or(0);
    let fits = w_shape.len() == shape.len() && groups > 0 && {
        let (first, second) = (w_shape[0], w_shape[1]);
        let inputs = if is_transposed {
            first
        } else {
            second * groups
        };
        inputs == shape[1] && first.is_multiple_of(groups) && !w_shape.contains(&0)
    };
    let kernel = w_shape.get(2..).unwrap_or_default().to_vec();
    let declared = match attribute(node, "kernel_shape") {
        Some(_) => list(node, "kernel_shape", kernel.len(), 1)? == kernel,
        None => true,
    };
    if !fits || !declared {
        let reason = format!(
            "weights of the shape {w_shape:?} in {groups} groups do not fit an input of the shape {shape:?}"
        );
        return Err(unsupported(node, reason));
    }
    let outputs = if is_transposed {
        w_shape[1] * groups
    } else {
        w_shape[0]
    };
    let bias = match optional_input(node, 2) {
        Some(name) => {
            let b = constant::weights(&*lowering.constant(node, name)?)?;
            b.into_iter().map(f64::from).collect()
        }
        None => vec![0.0; outputs],
    };
    if bias.len() != outputs {
        let reason = format!("{} biases for {outputs} channels", bias.len());
        return Err(unsupported(node, reason));
    }
    Ok(Operands {
        weights: constant::weights(&w)?,
        x,
        shape,
        kernel,
        groups,
        outputs,
        bias,
    })
}

/// `Conv`.
pub(super) fn conv(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Expr, ImportError> {
    let Operands {
        x,
        shape,
        weights,
        kernel,
        groups,
        outputs,
        bias,
    } = operands(lowering, node, false)?;
    let windows = windows(node, &kernel, &shape[2..])?;
    let sizes = sizes_after(node, &windows, &shape[2..], false)?;
    let mut axes = x.extent().map(AxisMap::identity);
    for ((&a, w), &n) in spatial_axes(shape.len())
        .iter()
        .zip(&windows)
        .zip(&shape[2..])
    {
        axes[a] = w.axis(n);
    }
    let taps: usize = kernel.iter().product();
    let (ci, co) = (shape[1] / groups, outputs / groups);
    let mut values = Vec::with_capacity(weights.len());
    for g in 0..groups {
        for c in 0..ci {
            for t in 0..taps {
                values.extend((0..co).map(|o| weights[((g * co + o) * ci + c) * taps + t]));
            }
        }
    }
    let linear = grouped(groups, ci, co, axes, values);
    let layout = resized(&x.layout, outputs, &sizes);
    lowering.apply(node, x, &[linear], bias, layout)
}

fn grouped(
    groups: usize,
    inputs: usize,
    outputs: usize,
    axes: [AxisMap; AXES],
    values: Vec<f32>,
) -> Linear {
    Linear {
        map: Map {
            groups: groups as u32,
            axes,
            kernel: Kernel::Weights,
            ..Map::dense(inputs as u32, outputs as u32, [1; AXES])
        },
        values,
    }
}

/// The sizes a window leaves of each dimension.
pub(super) fn sizes_after(
    node: &NodeProto,
    windows: &[Window],
    sizes: &[usize],
    is_ceil: bool,
) -> Result<Vec<usize>, ImportError> {
    let one = |(w, &n): (&Window, &usize)| w.outputs(n, is_ceil);
    let sizes: Option<Vec<usize>> = windows.iter().zip(sizes).map(one).collect();
    sizes.ok_or_else(|| unsupported(node, "its kernel is larger than the padded input"))
}

/// `ConvTranspose`: the kernel is walked backwards, and an input step is `stride` output steps.
pub(super) fn conv_transpose(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
) -> Result<Expr, ImportError> {
    let Operands {
        x,
        shape,
        weights,
        kernel,
        groups,
        outputs,
        bias,
    } = operands(lowering, node, true)?;
    let (axes, sizes) = transposed_axes(node, &x, &kernel, &shape[2..])?;
    let taps: usize = kernel.iter().product();
    let (ci, co) = (shape[1] / groups, outputs / groups);
    let mut values = Vec::with_capacity(weights.len());
    for channel in 0..groups * ci {
        for t in (0..taps).rev() {
            values.extend((0..co).map(|o| weights[(channel * co + o) * taps + t]));
        }
    }
    let linear = grouped(groups, ci, co, axes, values);
    let layout = resized(&x.layout, outputs, &sizes);
    lowering.apply(node, x, &[linear], bias, layout)
}

fn transposed_axes(
    node: &NodeProto,
    x: &Expr,
    kernel: &[usize],
    sizes: &[usize],
) -> Result<([AxisMap; AXES], Vec<usize>), ImportError> {
    let n = sizes.len();
    let windows = windows(node, kernel, sizes)?;
    let extra = list(node, "output_padding", n, 0)?;
    let asked = match attribute(node, "output_shape") {
        Some(_) => Some(list(node, "output_shape", n, 1)?),
        None => None,
    };
    let auto_pad = text(node, "auto_pad", "NOTSET");
    let mut axes = x.extent().map(AxisMap::identity);
    let mut out = Vec::with_capacity(n);
    for (i, &a) in spatial_axes(n + 2).iter().enumerate() {
        let w = windows[i];
        let full = w.stride * (sizes[i] - 1) + extra[i] + w.reach();
        let target = match (&asked, auto_pad.as_str()) {
            (Some(asked), _) => Some(asked[i]),
            (None, "SAME_UPPER" | "SAME_LOWER") => Some(sizes[i] * w.stride),
            _ => None,
        };
        let (before, size) = match target {
            Some(size) => {
                let total = full.saturating_sub(size);
                let before = if auto_pad == "SAME_UPPER" {
                    total / 2
                } else {
                    total.div_ceil(2)
                };
                (before, size)
            }
            None => (w.before, full.saturating_sub(w.before + w.after)),
        };
        if size == 0 {
            return Err(unsupported(node, "its padding leaves nothing"));
        }
        axes[a] = AxisMap {
            taps: w.kernel as u32,
            expand: w.stride as u32,
            dilation: w.dilation as u32,
            pad: (w.dilation * (w.kernel - 1)) as i32 - before as i32,
            ..AxisMap::identity(sizes[i] as u32)
        };
        out.push(size);
    }
    Ok((axes, out))
}
