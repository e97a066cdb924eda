package main

import (
	"encoding/json"
	"net/http"
	"strings"
)

// weights are rude words and how much each adds to the score of a text.
var weights = map[string]float64{"idiot": 0.95, "stupid": 0.6, "shut": 0.3, "dumb": 0.5}

// score answers {"text": "..."} with {"score": 0 to 1}. This example uses a list of words; a real service uses a model.
func score(w http.ResponseWriter, r *http.Request) {
	var question struct{ Text string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10)).Decode(&question); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	rude := 0.0
	for _, word := range strings.Fields(strings.ToLower(question.Text)) {
		rude += weights[strings.Trim(word, ".,!?")]
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]float64{"score": min(rude, 1)}) // the server has gone
}
