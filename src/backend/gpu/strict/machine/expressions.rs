//! The values of expressions.

use super::*;

impl<'m> Machine<'m> {
    pub(super) fn evaluate(
        &mut self,
        frame: &mut Frame<'m>,
        handle: Handle<naga::Expression>,
        mask: &[bool],
    ) -> Outcome<()> {
        let span = frame.function.expressions.get_span(handle);
        if span.is_defined() {
            self.span = span;
        }
        let slot = self.slot(frame, handle, mask)?;
        frame.slots[handle.index()] = slot;
        Ok(())
    }

    fn slot(&mut self, frame: &mut Frame<'m>, handle: Handle<naga::Expression>, mask: &[bool]) -> Outcome<Slot> {
        let lanes = self.lanes;
        let words = match &frame.function.expressions[handle] {
            E::Literal(literal) => self.spread(&[bits(literal)?]),
            E::Constant(constant) => {
                let value = self.constant(self.module.constants[*constant].init)?;
                self.spread(&value)
            }
            E::ZeroValue(ty) => vec![0; self.size(*ty) * lanes],
            E::Compose { components, .. } => {
                let parts = components.iter().map(|&c| frame.value(c).map(Vec::as_slice));
                parts.collect::<Outcome<Vec<_>>>()?.concat()
            }
            E::FunctionArgument(i) => return Ok(frame.given[*i as usize].clone()),
            E::GlobalVariable(variable) => return self.global(*variable),
            E::LocalVariable(variable) => {
                let root = Root::Own(frame.base + variable.index());
                return Ok(Slot::Pointer(Pointer { root, at: vec![0] }));
            }
            &E::Access { base, index } => return self.access(frame, base, frame.value(index)?, mask),
            &E::AccessIndex { base, index } => return self.access(frame, base, &[index], mask),
            E::Splat { size, value } => frame.value(*value)?.repeat(*size as usize),
            E::Swizzle { size, vector, pattern } => {
                let from = frame.value(*vector)?;
                let part = |c: &naga::SwizzleComponent| &from[*c as usize * lanes..][..lanes];
                pattern[..*size as usize].iter().map(part).collect::<Vec<_>>().concat()
            }
            E::Load { pointer } if self.is_atomic(frame, *pointer) => {
                self.atomic(frame.pointer(*pointer)?, &vec![0; lanes], |old, _| old, mask)?
            }
            E::Load { pointer } => {
                let words = match self.resolve(frame, *pointer) {
                    TypeInner::Pointer { base, .. } => self.size(*base),
                    TypeInner::ValuePointer { size, .. } => size.map_or(1, |s| s as usize),
                    other => return Err(format!("a load from {other:?}")),
                };
                self.load(frame.pointer(*pointer)?, words, mask)?
            }
            E::Unary { op, expr } => values::unary(*op, self.kind(frame, *expr)?, frame.value(*expr)?)?,
            E::Binary { op, left, right } => {
                let shapes = [left, right].map(|&h| matches!(self.resolve(frame, h), TypeInner::Matrix { .. }));
                if shapes.contains(&true) {
                    return Err(format!("{op:?} of a matrix"));
                }
                let (kind, a, b) = (self.kind(frame, *left)?, frame.value(*left)?, frame.value(*right)?);
                // Compiled without checks these may be anything.
                let undefined =
                    |&i: &usize| mask[i % lanes] && values::is_undefined(*op, kind, a[i % a.len()], b[i % b.len()]);
                if let Some(i) = (0..a.len().max(b.len())).find(undefined) {
                    let (x, y) = (a[i % a.len()] as i32, b[i % b.len()] as i32);
                    return Err(format!(
                        "invocation {} of work-group {} computes {op:?} of {x} and {y}",
                        i % lanes,
                        self.group
                    ));
                }
                values::binary(*op, kind, a, b)?
            }
            E::Select { condition, accept, reject } => {
                values::select(frame.value(*condition)?, frame.value(*accept)?, frame.value(*reject)?)
            }
            E::Relational { fun, argument } => values::relational(*fun, frame.value(*argument)?, lanes)?,
            E::Math { fun, arg, arg1, arg2, arg3 } => {
                let none = Words::new();
                let of = |h: &Option<Handle<naga::Expression>>| h.map_or(Ok(&none), |h| frame.value(h));
                let args = [frame.value(*arg)?, of(arg1)?, of(arg2)?, of(arg3)?];
                values::math(*fun, self.kind(frame, *arg)?, args.map(Vec::as_slice), lanes)?
            }
            E::As { expr, kind, convert } => match convert {
                Some(_) => values::convert(self.kind(frame, *expr)?, *kind, frame.value(*expr)?)?,
                None => frame.value(*expr)?.clone(),
            },
            E::ArrayLength(pointer) => {
                let TypeInner::Pointer { base, .. } = self.resolve(frame, *pointer) else {
                    return Err("no array".into());
                };
                let TypeInner::Array { base, .. } = self.inner(*base) else { return Err("no array".into()) };
                let Root::Bound { len, .. } = frame.pointer(*pointer)?.root else { return Err("no buffer".into()) };
                vec![(len / self.size(*base)) as u32; lanes]
            }
            E::CooperativeLoad { columns, rows, data, .. } => {
                self.load_matrix(frame, [*rows as usize, *columns as usize], data, mask)?
            }
            E::CooperativeMultiplyAdd { a, b, c } => self.multiply_matrices(frame, [*a, *b, *c], mask)?,
            // Statements fill them.
            E::CallResult(_) | E::AtomicResult { .. } | E::WorkGroupUniformLoadResult { .. } => return Ok(Slot::Empty),
            other => return Err(format!("an expression that is not known: {other:?}")),
        };
        Ok(Slot::Words(words))
    }

    fn spread(&self, words: &[u32]) -> Words {
        words.iter().flat_map(|&w| std::iter::repeat_n(w, self.lanes)).collect()
    }

    /// A constant's words, once.
    fn constant(&self, handle: Handle<naga::Expression>) -> Outcome<Words> {
        match &self.module.global_expressions[handle] {
            E::Literal(literal) => Ok(vec![bits(literal)?]),
            E::ZeroValue(ty) => Ok(vec![0; self.size(*ty)]),
            E::Constant(constant) => self.constant(self.module.constants[*constant].init),
            E::Splat { size, value } => Ok(self.constant(*value)?.repeat(*size as usize)),
            E::Compose { components, .. } => {
                Ok(components.iter().map(|&c| self.constant(c)).collect::<Outcome<Vec<_>>>()?.concat())
            }
            other => Err(format!("a constant that is not known: {other:?}")),
        }
    }

    fn global(&self, handle: Handle<naga::GlobalVariable>) -> Outcome<Slot> {
        let variable = &self.module.global_variables[handle];
        let root = match (&variable.binding, variable.space) {
            (Some(binding), _) => {
                let bound = self.bindings.get(&binding.binding);
                let &(memory, len) = bound.ok_or_else(|| format!("nothing is bound at {}", binding.binding))?;
                let of = match self.inner(variable.ty) {
                    TypeInner::Array { base, .. } => self.inner(*base),
                    other => other,
                };
                Root::Bound { memory, len, halves: of.scalar().is_some_and(|s| s.width == 2) }
            }
            (None, AddressSpace::WorkGroup) => Root::Group(handle.index()),
            (None, space) => return Err(format!("a variable in {space:?}")),
        };
        Ok(Slot::Pointer(Pointer { root, at: vec![0] }))
    }

    fn kind(&self, frame: &Frame<'m>, handle: Handle<naga::Expression>) -> Outcome<naga::ScalarKind> {
        let inner = self.resolve(frame, handle);
        // (Halves are held as single numbers.)
        let scalar = inner.scalar().filter(|s| s.width <= 4);
        scalar.map(|s| s.kind).ok_or_else(|| format!("{inner:?} is not known"))
    }

    /// Part of a value, or of what is pointed to: which part may differ from invocation to invocation.
    fn access(&self, frame: &Frame<'m>, base: Handle<naga::Expression>, index: &[u32], mask: &[bool]) -> Outcome<Slot> {
        let lanes = self.lanes;
        let inner = self.resolve(frame, base);
        let pointed = match inner {
            TypeInner::Pointer { base, .. } => self.inner(*base).clone(),
            &TypeInner::ValuePointer { size: Some(size), scalar, .. } => TypeInner::Vector { size, scalar },
            other => other.clone(),
        };
        // How many parts there are and words of each; where the one asked for begins.
        let (count, words) = match &pointed {
            TypeInner::Vector { size, .. } => (*size as usize, 1),
            TypeInner::Matrix { columns, rows, .. } => (*columns as usize, *rows as usize),
            TypeInner::Array { base, size: ArraySize::Constant(n), .. } => (n.get() as usize, self.size(*base)),
            TypeInner::Array { base: of, .. } => {
                let Root::Bound { len, halves, .. } = frame.pointer(base)?.root else {
                    return Err("an array without a length".into());
                };
                (len * (1 + usize::from(halves)) / self.size(*of), self.size(*of))
            }
            TypeInner::Struct { members, .. } => (members.len(), 0),
            other => return Err(format!("a part of {other:?}")),
        };
        let same = index.len() == 1;
        let of = |lane: usize| index[if same { 0 } else { lane }];
        if let Some(lane) = (0..lanes).find(|&l| mask[l] && of(l) as usize >= count) {
            let (i, group) = (of(lane) as i32, self.group);
            return Err(format!("invocation {lane} of work-group {group} takes element {i} of {count}"));
        }
        let place = |i: u32| match &pointed {
            TypeInner::Struct { members, .. } => members[..i as usize].iter().map(|m| self.size(m.ty)).sum(),
            _ => i as usize * words,
        };
        if let Slot::Pointer(pointer) = &frame.slots[base.index()] {
            let len = pointer.at.len().max(index.len());
            let at = (0..len).map(|l| (pointer.at(l) as u32).wrapping_add(place(of(l)) as u32)).collect();
            return Ok(Slot::Pointer(Pointer { root: pointer.root, at }));
        }
        let from = frame.value(base)?;
        let words = match &pointed {
            TypeInner::Struct { members, .. } => self.size(members[index[0] as usize].ty),
            _ => words,
        };
        if same {
            return Ok(Slot::Words(from[place(index[0]) * lanes..][..words * lanes].to_vec()));
        }
        let mut out = vec![0; words * lanes];
        for lane in (0..lanes).filter(|&l| mask[l]) {
            let first = place(of(lane));
            (0..words).for_each(|c| out[c * lanes + lane] = from[(first + c) * lanes + lane]);
        }
        Ok(Slot::Words(out))
    }
}

fn bits(literal: &Literal) -> Outcome<u32> {
    match *literal {
        Literal::F32(x) => Ok(x.to_bits()),
        Literal::U32(x) => Ok(x),
        Literal::I32(x) => Ok(x as u32),
        Literal::Bool(x) => Ok(u32::from(x)),
        other => Err(format!("{other:?} is not known")),
    }
}
