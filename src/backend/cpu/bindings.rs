//! A step's buffers: which are read, which are written, and where a value may be put in place of what was read.

use smallvec::SmallVec;

use super::program::compile::Wiring;
use super::program::space::bounds;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::program::{Access, Instr, Program};
use crate::ir::step::{Plan, Role, Step};

/// A step's buffers.
pub(super) struct Bindings {
    pub(super) infos: SmallVec<[Info; 4]>,
    /// Which are written, in the order of the outputs given to kernels.
    pub(super) outs: SmallVec<[u16; 3]>,
}

pub(super) struct Info {
    /// Buffers of one role share memory.
    pub(super) role: Role,
    pub(super) dtype: DType,
    pub(super) len: usize,
    /// It is read elsewhere than where it is written, so readers get a copy.
    pub(super) copy: bool,
}

impl Info {
    pub(super) fn bytes(&self) -> usize {
        self.dtype.bytes(self.len)
    }
}

impl Bindings {
    pub(super) fn new(plan: &Plan, step: &Step) -> Self {
        let infos = step.bufs.iter().map(|&b| {
            let info = &plan.buffers[b as usize];
            Info { role: info.role, dtype: info.dtype, len: info.len, copy: false }
        });
        let mut bufs = Bindings { infos: infos.collect(), outs: SmallVec::new() };
        for store in &step.program.stores {
            if bufs.out(store.buf).is_none() {
                bufs.outs.push(store.buf);
            }
        }
        bufs
    }

    pub(super) fn len(&self) -> usize {
        self.infos.len()
    }

    pub(super) fn dtype(&self, buf: u16) -> DType {
        self.infos[buf as usize].dtype
    }

    pub(super) fn outputs(&self) -> usize {
        self.outs.len()
    }

    /// The output that buffer `buf` is, if it is written.
    pub(super) fn out(&self, buf: u16) -> Option<u16> {
        let role = self.infos.get(buf as usize)?.role;
        self.outs.iter().position(|&o| self.infos[o as usize].role == role).map(|k| k as u16)
    }

    /// Notes that a kernel reads all of `buf` in its own order.
    pub(super) fn operand(&mut self, buf: u16, dtype: DType, len: usize) -> Result<()> {
        let written = self.out(buf).is_some();
        let info = self
            .infos
            .get_mut(buf as usize)
            .ok_or_else(|| Error::internal("an operand that the step does not bind"))?;
        if info.len < len || info.dtype.size() != dtype.size() {
            return Err(Error::internal(format!(
                "an operand of {} {} where {len} {dtype} are read",
                info.len, info.dtype
            )));
        }
        info.copy |= written;
        Ok(())
    }

    /// How a program's loads and stores meet the buffers. `overwrite`: a value may be read where its result is put.
    pub(super) fn wire(&mut self, program: &Program, levels: &[bool], overwrite: bool) -> Wiring {
        let outs: Vec<u16> = program.stores.iter().map(|s| self.out(s.buf).unwrap_or(0)).collect();
        let mut in_place = vec![None; program.lines.len()];
        for (l, line) in program.lines.iter().enumerate() {
            let Instr::Load { buf, at, gather } = &line.instr else { continue };
            let Some(k) = self.out(*buf) else { continue };
            let mut stores = program.stores.iter().zip(&outs).filter(|(_, o)| **o == k).map(|(s, _)| s);
            let same = match (stores.next(), stores.next()) {
                (Some(s), None) => {
                    let (read, written) = (self.dtype(*buf), self.dtype(s.buf));
                    let alike = read == written || read.size() == written.size() && !written.is_narrow();
                    s.inner == levels[l] && alike && same_address(at, &s.at)
                }
                _ => false,
            };
            if overwrite && gather.is_empty() && same {
                in_place[l] = Some(k);
            } else {
                self.infos[*buf as usize].copy = true;
            }
        }
        let dtypes = self.infos.iter().map(|i| i.dtype).collect();
        let out_dtypes = self.outs.iter().map(|&o| self.dtype(o)).collect();
        Wiring { out_of_store: outs, in_place, dtypes, out_dtypes }
    }

    /// Checks every address of a program against its buffer.
    pub(super) fn check(&self, program: &Program, outer: &[usize], inner: &[usize]) -> Result<()> {
        let dims: Vec<usize> = outer.iter().chain(inner).copied().collect();
        let check = |buf: u16, at: &Access, reach: (i64, i64), full: bool, what: &str| -> Result<()> {
            let space = if full { &dims[..] } else { outer };
            if at.strides.len() < outer.len() || at.strides.len() > dims.len() || full && at.strides.len() != dims.len()
            {
                return Err(Error::internal(format!("{what} with {} strides over {space:?}", at.strides.len())));
            }
            let Some(info) = self.infos.get(buf as usize) else { return Err(Error::internal("an unbound buffer")) };
            let Some((low, high)) = bounds(space, at) else { return Ok(()) };
            if low + reach.0 < 0 || high + reach.1 >= info.len as i64 {
                return Err(Error::internal(format!(
                    "{what} reaches {}..={} of a buffer of {} elements",
                    low + reach.0,
                    high + reach.1,
                    info.len
                )));
            }
            Ok(())
        };
        for (l, line) in program.lines.iter().enumerate() {
            if line.instr.operands().iter().any(|&r| r as usize >= l) {
                return Err(Error::internal(format!("line {l} reads a later line")));
            }
            if let Instr::Load { buf, at, gather } = &line.instr {
                if gather.iter().any(|g| g.extent == 0) {
                    continue;
                }
                let reach = gather.iter().map(|g| g.stride * (g.extent as i64 - 1));
                let reach = reach.fold((0, 0), |(low, high), r| (low + r.min(0), high + r.max(0)));
                check(*buf, at, reach, line.inner, "a load")?;
            } else if let Some(at) = line.instr.access() {
                let full = if line.inner { dims.len() } else { outer.len() };
                if at.strides.len() != full {
                    return Err(Error::internal("an index over another space"));
                }
            }
        }
        for store in &program.stores {
            if store.reg as usize >= program.lines.len() {
                return Err(Error::internal("a store of nothing"));
            }
            check(store.buf, &store.at, (0, 0), store.inner, "a store")?;
        }
        Ok(())
    }
}

/// Whether two addresses are equal; missing strides are 0.
fn same_address(a: &Access, b: &Access) -> bool {
    let n = a.strides.len().max(b.strides.len());
    let stride = |at: &Access, d: usize| at.strides.get(d).copied().unwrap_or(0);
    a.offset == b.offset && (0..n).all(|d| stride(a, d) == stride(b, d))
}
