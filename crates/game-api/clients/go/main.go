// A game server's side of Gamekeeper's game-api. Go's standard library is all it needs.
//
// As a program, for shell scripts: client players=3/8 state=Running health=Failed:no-map heartbeat self deletion
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Refused is a request that was refused.
type Refused struct {
	Status          int
	Reason, Message string
}

func (r *Refused) Error() string { return fmt.Sprintf("%d %s: %s", r.Status, r.Reason, r.Message) }

// Gamekeeper speaks for one server.
type Gamekeeper struct {
	url, code string
	client    *http.Client
}

// FromEnvironment takes what gss-controller put there, and API_SERVER_CA_FILE if the system's certificates are not enough.
func FromEnvironment() (*Gamekeeper, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if file := os.Getenv("API_SERVER_CA_FILE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", file)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return &Gamekeeper{
		url:    os.Getenv("API_SERVER_URL"),
		code:   os.Getenv("API_SERVER_CODE"),
		client: &http.Client{Transport: transport, Timeout: 15 * time.Second},
	}, nil
}

// Players reports how many players are on the server; a capacity below 0 is not mentioned.
func (g *Gamekeeper) Players(count, capacity int) (map[string]any, error) {
	body := map[string]any{"count": count}
	if capacity >= 0 {
		body["capacity"] = capacity
	}
	return g.ask(http.MethodPut, "/v1/self/players?wait=true", body)
}

// State reports where the server is in its match: Idle, Assigned, Running or PostMatch.
func (g *Gamekeeper) State(state string) (map[string]any, error) {
	return g.ask(http.MethodPut, "/v1/self/state?wait=true", map[string]any{"state": state})
}

// Health reports how the server is: Creating, Healthy or Failed.
func (g *Gamekeeper) Health(health, reason string) (map[string]any, error) {
	return g.ask(http.MethodPut, "/v1/self/health?wait=true", map[string]any{"health": health, "reason": reason})
}

// Heartbeat says that the server is alive; every report says so too.
func (g *Gamekeeper) Heartbeat() (map[string]any, error) {
	return g.ask(http.MethodPost, "/v1/self/heartbeat", nil)
}

// Read gives the server as the cluster sees it.
func (g *Gamekeeper) Read() (map[string]any, error) { return g.ask(http.MethodGet, "/v1/self", nil) }

// Delete asks to be deleted once the last player left.
func (g *Gamekeeper) Delete() (map[string]any, error) {
	return g.ask(http.MethodPost, "/v1/self/deletion", nil)
}

// Asks, and asks again where that helps: another replica answers, or this one does a moment later.
func (g *Gamekeeper) ask(method, path string, body any) (map[string]any, error) {
	const attempts = 5
	for attempt := 1; ; attempt++ {
		answer, pause, err := g.once(method, path, body)
		if err == nil || pause == 0 || attempt == attempts {
			return answer, err
		}
		time.Sleep(pause)
	}
}

// One request. A pause says that it may be asked again, and when.
func (g *Gamekeeper) once(method, path string, body any) (map[string]any, time.Duration, error) {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, 0, err
		}
		reader = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, g.url+path, reader)
	if err != nil {
		return nil, 0, err
	}
	request.Header.Set("Authorization", "Bearer "+g.code)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := g.client.Do(request)
	if err != nil {
		return nil, time.Second, err
	}
	defer response.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, time.Second, err
	}
	if response.StatusCode < 300 {
		return answer, 0, nil
	}
	refused := &Refused{Status: response.StatusCode}
	if said, ok := answer["error"].(map[string]any); ok {
		refused.Reason, _ = said["reason"].(string)
		refused.Message, _ = said["message"].(string)
	}
	var pause time.Duration
	switch response.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		pause = time.Duration(max(seconds, 1)) * time.Second
	}
	return nil, pause, refused
}

func run(server *Gamekeeper, argument string) (map[string]any, error) {
	what, value, _ := strings.Cut(argument, "=")
	switch what {
	case "players":
		first, second, more := strings.Cut(value, "/")
		count, err := strconv.Atoi(first)
		capacity := -1
		if err == nil && more {
			capacity, err = strconv.Atoi(second)
		}
		if err != nil {
			return nil, err
		}
		return server.Players(count, capacity)
	case "state":
		return server.State(value)
	case "health":
		health, reason, _ := strings.Cut(value, ":")
		return server.Health(health, reason)
	case "heartbeat":
		return server.Heartbeat()
	case "self":
		return server.Read()
	case "deletion":
		return server.Delete()
	}
	return nil, fmt.Errorf("don't know %s", argument)
}

func main() {
	server, err := FromEnvironment()
	for _, argument := range os.Args[1:] {
		if err != nil {
			break
		}
		var answer map[string]any
		if answer, err = run(server, argument); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(answer)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
