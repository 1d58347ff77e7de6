"""What comes up besides the scene in a generated dialogue, in the notation of samsum_plans.py.

Each settles the fact `second`, a sentence that the summary ends with. P and Q are two of the speakers; V and W are
talked about. Numbers 5 to 7 keep the words apart from those of the scene.
"""

from __future__ import annotations

SECOND = """
# second
P: [When do I get my {object5} back?|You still have my {object5}.]
+ Q: [I'll bring it on {day5}.|On {day5}, I promise.]  :: second={Q} will bring back {P}'s {object5} on {day5}
+ Q: [I'll bring it on {day6}.|On {day6}?]
  P: [I need it before. {day5}?|Rather {day5}.]
  Q: [OK.|Fine.]  :: second={Q} will bring back {P}'s {object5} on {day5}
+ Q: [I lost it, sorry.|I can't find it, sorry.]  :: second={Q} lost {P}'s {object5}

# second
P: [Can you call {W}?|Somebody should call {W}.]
+ Q: [I'll do it on {day5}.|Yes, on {day5}.]  :: second={Q} will call {W} on {day5}
+ Q: [You do it.|No, it's your turn.]
  P: [OK.|Fine, I'll do it.]  :: second={P} will call {W}

# second
Q: [When is {W}'s birthday?|Isn't it {W}'s birthday soon?]
+ P: [On {day5}.|It's on {day5}.]  :: second={W}'s birthday is on {day5}
+ P: [In {month5}.|Not before {month5}.]  :: second={W}'s birthday is in {month5}

# second
Q: [I need {object5.a}.|I want to buy {object5.a}.] [Any ideas?|Where can I get one?]
+ P: [There is a good shop in {town5}.|In {town5}.]  :: second={Q} wants to buy {object5.a} in {town5}
+ P: [You can have mine for {price5} euros.|I'm selling mine, {price5} euros.]
  Q: [Deal!|I'll take it.]  :: second={Q} will buy {P}'s {object5} for {price5} euros
+ P: [You can have mine for {price5} euros.|I'm selling mine, {price5} euros.]
  Q: [Too much.|No, thanks.]  :: second={Q} will not buy {P}'s {object5}

# second
P: [{W} is coming to {town5}.|{W} will be in {town5}.]
+ Q: [When?|Really? When?]
  P: [On {day5}.|{day5}.]  :: second={W} will be in {town5} on {day5}
+ Q: [On {day6}, right?|I know, on {day6}.]
  P: [No, on {day5}.|It's {day5} now.]  :: second={W} will be in {town5} on {day5}

# second
Q: [I can't work on {day5}.|I need somebody to work for me on {day5}.]
+ P: [I can do it.|I'll work for you.]  :: second={P} will work for {Q} on {day5}
+ P: [Ask {W}.|{W} has time.]
  Q: [OK.|Good idea.]  :: second={Q} will ask {W} to work for {Q.him} on {day5}
+ P: [I can't.|Me neither.]
  Q: [Then I'll go.|OK, then I'll do it.]  :: second={Q} will have to work on {day5}

# second
P: [I started {sport5}.|I'm doing {sport5} now.] [Come with me!|Want to join?]
+ Q: [OK, when?|Yes! When?]
  P: [On {day5}.|Every {day5}.]  :: second={Q} will join {P} for {sport5} on {day5}
+ Q: [No, I hate it.|Never.]  :: second={Q} does not like {sport5}

# second
Q: [What do you put in your salad?|What's in your salad?]
+ P: [{food5.S} and {food6}.|Only {food5} and {food6}.]  :: second={P} makes {P.his} salad with {food5} and {food6}
+ P: {food5.S} and {food7}.
  P: [No, wait, {food6}.|I mean {food6}.]  :: second={P} makes {P.his} salad with {food5} and {food6}

# second
P: [Our {pet5} is sick.|Our {pet5} is not eating.]
+ Q: [Call {W}.|{W} can help.]
  P: [OK.|I will.]  :: second={P}'s {pet5} is sick, so {P.she} will call {W}
+ Q: [Since when?|For how long?]
  P: [Since {day5}.|It began on {day5}.]  :: second={P}'s {pet5} has been sick since {day5}

# second
Q: [Who has our {subject5} books?|Where are the {subject5} books?]
+ P: [I have them.|They're here with me.]  :: second={P} has the {subject5} books
+ P: [{W} has them.|{W} took them.]  :: second={W} has the {subject5} books
+ P: [{V} has them.|{V}, I think.]
  Q: [No, {V.she} gave them to {W}.|{V.She} gave them to {W}.]  :: second={W} has the {subject5} books

# second
P: [You owe me {price5} euros.|I still get {price5} euros from you.]
+ Q: [I'll pay on {day5}.|You'll get it on {day5}.]  :: second={Q} will pay {P} {price5} euros on {day5}
+ Q: [No, {price6}.|It was only {price6}.]
  P: [Right, sorry.|You're right.]  :: second={Q} owes {P} {price6} euros

# second
Q: [My {relative5} is flying to {country5}.|My {relative5} is off to {country5}.]
+ P: [When?|When exactly?]
  Q: [In {month5}.|In {month5}, I think.]  :: second={Q}'s {relative5} will fly to {country5} in {month5}
+ P: [Alone?|All alone?]
  Q: [No, with {W}.|With {W}, of course.]  :: second={Q}'s {relative5} will fly to {country5} with {W}

# second
P: [{W} is looking for a job.|{W} needs a job.]
+ Q: [They need {job5.a} at the {place5}.|The {place5} needs {job5.a}.]
  P: [I'll tell {W.him}.|Good to know.]  :: second={W} could work as {job5.a} at the {place5}
+ Q: [I thought {W.she} was {job5.a}.|Isn't {W.she} {job5.a}?]
  P: [Not any more.|No, {W.she} stopped.]  :: second={W} is not {job5.a} any more

# second
P: [Was {film5} good?|How was {film5}?]
+ Q: [I loved it.|Great!]  :: second={Q} loved {film5}
+ Q: [So bad.|I left early.]  :: second={Q} did not like {film5}
+ Q: [I didn't go.|I stayed at home.] {W} loved it.  :: second={W} loved {film5}

# second
Q: [Where did you park the car?|Where is the car?]
+ P: [At the {place5}.|Near the {place5}.]  :: second={P} parked the car at the {place5}
+ P: [{W} took it.|{W} has it.]  :: second={W} has {P}'s car

# second
P: [Have you got the keys?|Where are the keys?]
+ Q: [In my {colour5} jacket.|In the {colour5} bag.]  :: second={Q} put the keys into something {colour5}
+ Q: [I left them at the {place5}.|Oh no, they're at the {place5}.]  :: second={Q} left the keys at the {place5}
"""
