package main

import (
	"fmt"
	"strings"

	"barista/cmd/barista/term"
)

// unified is the difference between two texts, as diff -u shows it; "" if there
// is none. The texts have some hundred lines: a table of all pairs is good
// enough.
func unified(oldName, newName, before, after string) string {
	if before == after {
		return ""
	}
	a, b := linesOf(before), linesOf(after)
	// common[i][j] is how many lines a[i:] and b[j:] have in common, in order.
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	type change struct {
		sign byte
		text string
		i, j int // where it stands in a and b
	}
	var all []change
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			all = append(all, change{' ', a[i], i, j})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			all = append(all, change{'-', a[i], i, j})
			i++
		default:
			all = append(all, change{'+', b[j], i, j})
			j++
		}
	}
	const around = 3
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", oldName, newName)
	for k := 0; k < len(all); {
		if all[k].sign == ' ' {
			k++
			continue
		}
		from, last := max(0, k-around), k
		for n := k; n < len(all) && n <= last+2*around; n++ {
			if all[n].sign != ' ' {
				last = n
			}
		}
		to := min(len(all), last+around+1)
		olds, news := 0, 0
		for _, c := range all[from:to] {
			if c.sign != '+' {
				olds++
			}
			if c.sign != '-' {
				news++
			}
		}
		fmt.Fprintf(&out, "@@ -%s +%s @@\n", hunk(all[from].i, olds), hunk(all[from].j, news))
		for _, c := range all[from:to] {
			fmt.Fprintf(&out, "%c%s\n", c.sign, term.Safe(c.text))
		}
		k = to
	}
	if len(a) > 0 && len(b) > 0 && strings.HasSuffix(before, "\n") != strings.HasSuffix(after, "\n") {
		out.WriteString("\\ only one of them ends with a new line\n")
	}
	return out.String()
}

func linesOf(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

// hunk is a range of lines as diff -u writes it: an empty one stands behind the
// line before it.
func hunk(from, n int) string {
	if n == 0 {
		return fmt.Sprintf("%d,0", from)
	}
	if n == 1 {
		return fmt.Sprint(from + 1)
	}
	return fmt.Sprintf("%d,%d", from+1, n)
}
