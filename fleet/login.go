package fleet

import (
	"errors"
	"fmt"
	"time"
)

// Why somebody was not let in as an operator. The texts hold nothing that was typed.
var (
	// ErrLogin: no operator of that name has that password. Which of the two is wrong,
	// nobody is told.
	ErrLogin = errors.New("name and password do not belong to an operator")
	// ErrCode: the one-time code was never given, was used, is too old, or is another
	// name's.
	ErrCode = errors.New("the one-time code is not good, or not any more")
	// ErrWeak: the password can't be one. Its text says what it must be.
	ErrWeak = errors.New("the password does not do")
)

// TooManyError: somebody tried too often, or too many try now. The password was not
// looked at.
type TooManyError struct {
	Wait time.Duration // until it is worth trying again, more than 0
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("too many attempts to log in; try again in %v", e.Wait)
}

// Session is an operator who is logged in, in one browser.
type Session struct {
	Name  string    // of the operator, a token
	From  string    // the address where the password was given; "" if nobody knows
	Since time.Time // for display
}
