package journal

// named is hardware that never had another name.
type named string

func (n named) String() string                 { return string(n) }
func (n named) Was(name string) (same, _ bool) { return name == string(n), false }

// Hardware is the machine that it belongs to.
func (j *Journal) Hardware() string { return j.head.Hardware }
