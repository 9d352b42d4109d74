// The README's first call is examples/first, which test.sh runs.

package offhook_test

import (
	"os"
	"strings"
	"testing"
)

func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	must(t, err)
	first, err := os.ReadFile("examples/first/main.go")
	must(t, err)
	if !strings.Contains(string(readme), "```go\n"+string(first)+"```\n") {
		t.Error("README.md does not show examples/first/main.go as it is")
	}
}
