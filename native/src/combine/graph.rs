// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What refers to what, among types that are numbered from 1 on.

/// For each type a list of others; 0 stands for void, which has none.
pub struct Graph {
    /// Where the list of each number ends; that of the next one follows.
    ends: Vec<u32>,
    lists: Vec<u32>,
}

impl Graph {
    /// Of so many types; `each` visits what belongs into the list of one.
    pub fn new(count: usize, each: impl Fn(u32, &mut dyn FnMut(u32))) -> Graph {
        let mut graph = Graph {
            ends: vec![0],
            lists: Vec::new(),
        };
        for number in 1..=count as u32 {
            each(number, &mut |other| graph.lists.push(other));
            graph.ends.push(graph.lists.len() as u32);
        }
        graph
    }

    pub fn of(&self, number: u32) -> &[u32] {
        match number as usize {
            0 => &[],
            i => &self.lists[self.ends[i - 1] as usize..self.ends[i] as usize],
        }
    }

    fn count(&self) -> usize {
        self.ends.len() - 1
    }

    /// Who has a number in its list.
    pub fn reversed(&self) -> Graph {
        let mut ends = vec![0; self.ends.len()];
        for &other in &self.lists {
            ends[other as usize] += 1;
        }
        for i in 1..ends.len() {
            ends[i] += ends[i - 1];
        }
        let mut next: Vec<u32> = ends.clone();
        let mut lists = vec![0; self.lists.len()];
        for number in 1..=self.count() as u32 {
            for &other in self.of(number) {
                let at = &mut next[other as usize - 1];
                lists[*at as usize] = number;
                *at += 1;
            }
        }
        Graph { ends, lists }
    }

    /// For each number from 1 on whether a way leads there from one of these.
    pub fn reach(&self, from: Vec<u32>) -> Vec<bool> {
        let mut queue = from;
        let mut reached = vec![false; self.count()];
        for &number in &queue {
            reached[number as usize - 1] = true;
        }
        while let Some(number) = queue.pop() {
            for &other in self.of(number) {
                if !std::mem::replace(&mut reached[other as usize - 1], true) {
                    queue.push(other);
                }
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reversed_it_leads_back() {
        let to: [&[u32]; 4] = [&[2, 3], &[3], &[1], &[]];
        let graph = Graph::new(4, |i, visit| {
            to[i as usize - 1].iter().for_each(|&n| visit(n))
        });
        let back = graph.reversed();
        let lists: Vec<&[u32]> = (0..=4).map(|i| back.of(i)).collect();
        assert_eq!(lists, [&[][..], &[3], &[1], &[1, 2], &[]]);
        assert_eq!(graph.reach(vec![2]), [true, true, true, false]);
        assert_eq!(back.reach(vec![4]), [false, false, false, true]);
    }
}
