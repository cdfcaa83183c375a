//! Matrices that belong to a subgroup. Element `e` is with its invocation `e % size`, as many to each as it takes.

use super::*;

impl<'m> Machine<'m> {
    /// The subgroups that are there: for each its number and its first invocation.
    fn subgroups(&self, mask: &[bool]) -> Outcome<Vec<usize>> {
        self.together(mask)?;
        if !self.lanes.is_multiple_of(self.subgroup) {
            return Err("a subgroup that is not full has matrices".into());
        }
        Ok((0..self.lanes).step_by(self.subgroup).filter(|&first| mask[first]).collect())
    }

    /// Where element `e` of a subgroup's matrix is among the words of a value.
    fn element(&self, first: usize, e: usize) -> usize {
        e / self.subgroup * self.lanes + first + e % self.subgroup
    }

    /// For each subgroup where its matrix's elements are in memory, row by row.
    fn places(
        &self,
        frame: &Frame<'m>,
        [rows, columns]: [usize; 2],
        data: &naga::CooperativeData,
        mask: &[bool],
    ) -> Outcome<(usize, Vec<(usize, Vec<usize>)>)> {
        let (pointer, stride) = (frame.pointer(data.pointer)?, frame.value(data.stride)?);
        let Root::Group(variable) = pointer.root else {
            return Err("a matrix that is not in the work-group's memory".into());
        };
        let mut out = Vec::new();
        for first in self.subgroups(mask)? {
            let within = first..first + self.subgroup;
            if within.clone().any(|l| pointer.at(l) != pointer.at(first) || stride[l] != stride[first]) {
                return Err(format!("subgroup {} does not agree where a matrix is", first / self.subgroup));
            }
            let (at, stride) = (pointer.at(first), stride[first] as usize);
            let place = |r: usize, c: usize| at + if data.row_major { r * stride + c } else { c * stride + r };
            out.push((first, (0..rows * columns).map(|e| place(e / columns, e % columns)).collect()));
        }
        Ok((variable, out))
    }

    /// Whoever of the subgroup it may be.
    fn any_of(&self, first: usize) -> Mark {
        self.now(self.lanes + first, false)
    }

    pub(super) fn load_matrix(
        &mut self,
        frame: &Frame<'m>,
        shape: [usize; 2],
        data: &naga::CooperativeData,
        mask: &[bool],
    ) -> Outcome<Words> {
        let (variable, places) = self.places(frame, shape, data, mask)?;
        let mut out = vec![0; (shape[0] * shape[1]).div_ceil(self.subgroup) * self.lanes];
        for (first, places) in places {
            let now = self.any_of(first);
            for (e, at) in places.into_iter().enumerate() {
                out[self.element(first, e)] = self.group_memory[variable].read(at, now)?;
            }
        }
        Ok(out)
    }

    pub(super) fn store_matrix(
        &mut self,
        frame: &Frame<'m>,
        of: Handle<naga::Expression>,
        data: &naga::CooperativeData,
        mask: &[bool],
    ) -> Outcome<()> {
        let shape = self.shape(frame, of)?;
        let (variable, places) = self.places(frame, shape, data, mask)?;
        let words = frame.value(of)?;
        for (first, places) in places {
            let now = self.any_of(first);
            for (e, at) in places.into_iter().enumerate() {
                let value = words[self.element(first, e)];
                self.group_memory[variable].write(at, value, now)?;
            }
        }
        Ok(())
    }

    pub(super) fn multiply_matrices(
        &self,
        frame: &Frame<'m>,
        operands: [Handle<naga::Expression>; 3],
        mask: &[bool],
    ) -> Outcome<Words> {
        let [[m, k], [_, n], _] = [self.shape(frame, operands[0])?, self.shape(frame, operands[1])?, [0, 0]];
        let [a, b, c] = [frame.value(operands[0])?, frame.value(operands[1])?, frame.value(operands[2])?];
        let mut out = c.clone();
        for first in self.subgroups(mask)? {
            let take = |of: &Words, e: usize| f32::from_bits(of[self.element(first, e)]);
            for e in 0..m * n {
                let (row, column) = (e / n, e % n);
                let sum = (0..k).fold(take(c, e), |sum, i| sum + take(a, row * k + i) * take(b, i * n + column));
                out[self.element(first, e)] = sum.to_bits();
            }
        }
        Ok(out)
    }

    /// Rows and columns.
    fn shape(&self, frame: &Frame<'m>, of: Handle<naga::Expression>) -> Outcome<[usize; 2]> {
        match *self.resolve(frame, of) {
            TypeInner::CooperativeMatrix { columns, rows, .. } => Ok([rows as usize, columns as usize]),
            ref other => Err(format!("{other:?} is no matrix of a subgroup")),
        }
    }
}
