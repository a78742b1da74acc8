package account

import "slices"

// questions is the curated list from which people choose, each with its
// sentence in the locales. Keys are stored, so a key that was ever shipped
// stays.
var questions = []struct{ key, sentence string }{
	{"first_pet", "question.first_pet"},
	{"childhood_street", "question.childhood_street"},
	{"first_teacher", "question.first_teacher"},
	{"favorite_book_child", "question.favorite_book_child"},
	{"first_concert", "question.first_concert"},
	{"grandparent_town", "question.grandparent_town"},
	{"first_job_city", "question.first_job_city"},
	{"dream_job_child", "question.dream_job_child"},
}

// Questions lists the keys of the curated security questions.
func Questions() []string {
	keys := make([]string, 0, len(questions))
	for _, q := range questions {
		keys = append(keys, q.key)
	}
	return keys
}

// KnownQuestion reports whether key is in the curated list.
func KnownQuestion(key string) bool { return slices.Contains(Questions(), key) }

// QuestionSentence is the locale's key for the sentence of a question, or "".
func QuestionSentence(key string) string {
	for _, q := range questions {
		if q.key == key {
			return q.sentence
		}
	}
	return ""
}
