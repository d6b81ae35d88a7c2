package queue_test

import (
	"context"
	"encoding/json"
	"maps"
	"testing"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
)

// TestServiceSaysWhoItIs: to `nats micro info`, which asks this, by version, role and
// name; whatever the program calls its version, the service is there, and a version that is
// none does not pass for a release.
func TestServiceSaysWhoItIs(t *testing.T) {
	b := brokertest.Start(t)
	lea := b.Connect("lea")
	for program, want := range map[string]string{
		"v1.2.3": "1.2.3", "1.2.3-rc.1+build.7": "1.2.3-rc.1+build.7", "0.0.0~dev+20261130190000.a47075a": "0.0.0-dev+20261130190000.a47075a",
		"v0.0.0-20261130185600-a47075a1b2c3": "0.0.0-20261130185600-a47075a1b2c3", "v0.1.1-0.20261130185600-a47075a1b2c3+dirty": "0.1.1-0.20261130185600-a47075a1b2c3+dirty",
		"(devel)": "0.0.0+devel", "unknown": "0.0.0+unknown", "": "0.0.0+unknown", "1.2": "0.0.0+1-2", "01.2.3": "0.0.0+01-2-3", "1.2.3-01": "0.0.0+1-2-3-01", "1.2.3\n\"é": "0.0.0+1-2-3",
	} {
		meta := map[string]string{"role": "machine", "machine": "zoe", "program_version": program}
		c, err := queue.Connect(t.Context(), queue.Config{Name: "zoe", InProcess: b, Service: queue.Service{Version: program, Metadata: meta}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- c.Server().Serve(ctx, fleet.CommandSubject("zoe"), false, func(context.Context, string, []byte) []byte { return nil })
		}()
		for _, ask := range []string{"$SRV.PING.zoe", "$SRV.INFO"} {
			var answers [][]byte
			brokertest.Eventually(t, "an answer to "+ask, func() bool {
				if len(done) > 0 {
					t.Fatalf("%q: %v", program, <-done)
				}
				var err error
				answers, err = lea.AskAll(t.Context(), ask, nil)
				return err == nil && len(answers) > 0
			})
			var got struct {
				Name, Version string
				Metadata      map[string]string
				Endpoints     []struct{ Subject string }
			}
			if err := json.Unmarshal(answers[0], &got); err != nil || len(answers) != 1 || got.Name != "zoe" || got.Version != want || !maps.Equal(got.Metadata, meta) {
				t.Errorf("%q: %d answers, %s", program, len(answers), answers[0])
			}
			if ask == "$SRV.INFO" && (len(got.Endpoints) != 1 || got.Endpoints[0].Subject != fleet.CommandSubject("zoe")) {
				t.Errorf("%s", answers[0])
			}
		}
		stop()
		<-done
		c.Close()
	}
}
