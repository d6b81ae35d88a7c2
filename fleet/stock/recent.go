package stock

import "iter"

// recent is a map that forgets: it holds the last max keys that were put in.
type recent[K comparable, V any] struct {
	max    int
	values map[K]V
	ring   []K // in order of arrival; next is the oldest once it is full
	next   int
}

func newRecent[K comparable, V any](max int) recent[K, V] {
	return recent[K, V]{max: max, values: map[K]V{}}
}

func (r *recent[K, V]) get(k K) (V, bool) {
	v, ok := r.values[k]
	return v, ok
}

// put stores the value; a key that is there keeps its place in the order.
func (r *recent[K, V]) put(k K, v V) {
	if _, there := r.values[k]; !there {
		if len(r.ring) < r.max {
			r.ring = append(r.ring, k)
		} else {
			delete(r.values, r.ring[r.next])
			r.ring[r.next] = k
			r.next = (r.next + 1) % r.max
		}
	}
	r.values[k] = v
}

// all are the values, the oldest first.
func (r *recent[K, V]) all() iter.Seq[V] {
	return func(yield func(V) bool) {
		for i := range r.ring {
			if !yield(r.values[r.ring[(r.next+i)%len(r.ring)]]) {
				return
			}
		}
	}
}
