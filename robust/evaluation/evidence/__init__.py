"""Evidence is gathered after the attacks: would they have found what is there?"""
