// Asks Prometheus' own engine. Standard input: {"series": [{"labels": {…}, "points": [[seconds, value], …]}],
// "queries": [{"expression": "…", "at": seconds}]}. Output, one for each query: {"error": "…"} or
// {"found": [{"labels": {…}, "value": …}]}.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

type question struct {
	Series []struct {
		Labels map[string]string `json:"labels"`
		Points [][2]float64      `json:"points"`
	} `json:"series"`
	Queries []struct {
		Expression string `json:"expression"`
		At         int64  `json:"at"`
	} `json:"queries"`
}

type sample struct {
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
}

type answer struct {
	Error string   `json:"error,omitempty"`
	Found []sample `json:"found"`
}

// store holds series in memory; the engine itself takes from them what lies in a query's time.
type store []*promql.StorageSeries

func (s store) Querier(_, _ int64) (storage.Querier, error) { return s, nil }

func (s store) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	found := &set{at: -1}
	for _, series := range s {
		if fits(series.Labels(), matchers) {
			found.series = append(found.series, series)
		}
	}
	return found
}

func (store) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (store) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (store) Close() error { return nil }

func fits(of labels.Labels, matchers []*labels.Matcher) bool {
	for _, matcher := range matchers {
		if !matcher.Matches(of.Get(matcher.Name)) {
			return false
		}
	}
	return true
}

type set struct {
	series store
	at     int
}

func (s *set) Next() bool                      { s.at++; return s.at < len(s.series) }
func (s *set) At() storage.Series              { return s.series[s.at] }
func (*set) Err() error                        { return nil }
func (*set) Warnings() annotations.Annotations { return nil }

func ask(engine *promql.Engine, known store, expression string, at int64) answer {
	query, err := engine.NewInstantQuery(context.Background(), known, nil, expression, time.Unix(at, 0))
	if err != nil {
		return answer{Error: err.Error()}
	}
	result := query.Exec(context.Background())
	vector, err := result.Vector()
	if err != nil {
		return answer{Error: err.Error()}
	}
	found := []sample{}
	for _, one := range vector {
		found = append(found, sample{one.Metric.Map(), one.F})
	}
	return answer{Found: found}
}

func main() {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		log.Fatal(err)
	}
	var known store
	for _, one := range asked.Series {
		series := promql.Series{Metric: labels.FromMap(one.Labels)}
		for _, point := range one.Points {
			series.Floats = append(series.Floats, promql.FPoint{T: int64(point[0] * 1000), F: point[1]})
		}
		known = append(known, promql.NewStorageSeries(series))
	}
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e6,
		Timeout:    time.Minute,
		Parser:     parser.NewParser(parser.Options{}),
	})
	answers := []answer{}
	for _, query := range asked.Queries {
		answers = append(answers, ask(engine, known, query.Expression, query.At))
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		log.Fatal(err)
	}
}
