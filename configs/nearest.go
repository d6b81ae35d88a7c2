package configs

import (
	"slices"
	"strings"
)

// nearest is the word that was probably meant, or empty: at most one letter
// wrong in a short word, two from five letters on, three from nine on. Of two
// that are as near, the one that begins alike. Letter case and - for _ do not
// count.
func nearest(got string, words []string) string {
	best, least, alike := "", 100, 0
	a := fold(got)
	if len(a) > 40 {
		return ""
	}
	for _, w := range slices.Sorted(slices.Values(words)) {
		b := fold(w)
		most := 1
		if n := max(len(a), len(b)); n >= 9 {
			most = 3
		} else if n >= 5 {
			most = 2
		}
		if min(len(a), len(b)) <= 2 {
			most = 0 // of two letters one is half
			if len(a) != len(b) {
				most = 1
			}
		}
		same := 0
		for same < len(a) && same < len(b) && a[same] == b[same] {
			same++
		}
		if d := distance(a, b); d <= most && (d < least || d == least && same > alike) {
			best, least, alike = w, d, same
		}
	}
	return best
}

func fold(s string) []rune {
	return []rune(strings.ReplaceAll(strings.ToLower(s), "-", "_"))
}

// distance counts the letters to insert, remove, change or swap with their
// neighbour to make b of a.
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
