package archive

import (
	"testing"

	"go.uber.org/goleak"

	"barista/fleet/brokertest"
)

func TestMain(m *testing.M) {
	brokertest.BeServer()
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}
