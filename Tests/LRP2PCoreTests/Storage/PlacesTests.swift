// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct PlacesTests {
  /// Beside a model: no place is two slots', and there are never more than were in use at once.
  @Test(arguments: 0..<10) func agreesWithADictionary(seed: Int) {
    var random = TestRandom(seed: seed)
    var places = Places()
    var model: [Int: Slot] = [:]
    var most = 0
    var wrong = 0
    for slot in Slot.all(2000) {
      if model.count < 5 || random.happens(percent: 50) {
        let place = places.take(for: slot)
        if model[place] != nil { wrong += 1 }
        model[place] = slot
      } else if random.happens(percent: 20) {
        let place = model.keys.randomElement()!
        places.move(place, to: slot)
        model[place] = slot
      } else {
        let place = model.keys.randomElement()!
        places.give(back: place)
        model[place] = nil
      }
      most = max(most, model.count)
      if places.inUse != model.count || places.count != most { wrong += 1 }
      for (place, slot) in model where places.slot(at: place) != slot { wrong += 1 }
    }
    #expect(wrong == 0)
  }

  @Test func theLastGivenBackIsTheFirstTaken() {
    var places = Places()
    for slot in Slot.all(4) { #expect(places.take(for: slot) == slot.index) }
    places.give(back: 1)
    places.give(back: 3)
    #expect(places.take(for: Slot(9)) == 3)
    #expect(places.take(for: Slot(9)) == 1)
    #expect(places.take(for: Slot(9)) == 4)
  }

  @Test func onlyWhatWasTakenIsGivenBack() async {
    await #expect(processExitsWith: .failure) {
      var places = Places()
      places.give(back: 0)
    }
    await #expect(processExitsWith: .failure) {
      var places = Places()
      places.give(back: places.take(for: Slot(1)))
      places.give(back: 0)
    }
  }
}
